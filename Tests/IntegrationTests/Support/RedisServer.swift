import Foundation
import Micro
import MicroRedis

/// A Redis of a test's own, on a free port, in a folder that goes with it. It can be killed,
/// halted, and started again with or without what it knew.
final class RedisServer {
    let folder: TestFolder
    let endpoint: String
    /// Of the port with TLS.
    let encrypted: String
    private let arguments: [String]
    private let certificates: Certificates?
    private var program: Program?

    private init(
        _ arguments: [String], endpoint: String, encrypted: String, certificates: Certificates?
    ) throws {
        (self.arguments, self.endpoint, self.encrypted) = (arguments, endpoint, encrypted)
        self.certificates = certificates
        folder = try TestFolder()
        try start()
    }

    /// Starts one, calls `body` when it answers, and stops it.
    ///
    /// - Parameters:
    ///   - arguments: What it is told besides.
    ///   - certificates: Has "redis.pem": it listens on ``encrypted``, too.
    static func run<T>(
        _ arguments: [String] = [], certificates: Certificates? = nil,
        _ body: (RedisServer) async throws -> T
    ) async throws -> T {
        let addresses = try await Etcd.freeAddresses(2)
        let server = try RedisServer(
            arguments, endpoint: addresses[0], encrypted: addresses[1],
            certificates: certificates)
        let result: T
        do {
            try await server.isUp()
            result = try await body(server)
        } catch {
            try? await server.kill()
            throw error
        }
        try await server.kill()
        return result
    }

    private func start() throws {
        func port(_ address: String) -> String {
            String(address.split(separator: ":").last ?? "")
        }
        var all = [
            "--port", port(endpoint), "--bind", "127.0.0.1", "--dir", folder.path, "--save", "",
            "--unixsocket", "\(folder.path)/redis.sock", "--logfile", "\(folder.path)/log",
        ]
        if let certificates {
            all += [
                "--tls-port", port(encrypted), "--tls-cert-file", certificates.path("redis.pem"),
                "--tls-key-file", certificates.path("redis.key"), "--tls-ca-cert-file",
                certificates.ca, "--tls-auth-clients", "no",
            ]
        }
        program = try Program("redis-server", all + arguments, folder: folder.path)
    }

    /// It is gone at once, without a word to anybody.
    func kill() async throws {
        guard let program else { return }
        self.program = nil
        program.send(SIGCONT)
        program.send(SIGKILL)
        _ = try await program.end()
    }

    /// Starts what was killed.
    func restart() async throws {
        try start()
        try await isUp()
    }

    /// It does nothing until it is woken, and its connections stay.
    func halt() async throws {
        guard let program else { return }
        program.send(SIGSTOP)
        try await until("redis stands still") { program.isHalted }
    }

    func wake() { program?.send(SIGCONT) }

    var socket: String { "\(folder.path)/redis.sock" }

    var options: RedisOptions {
        var options = RedisOptions(endpoint: endpoint)
        options.timeout = .seconds(20)
        options.connectTimeout = .seconds(10)
        return options
    }

    /// Waits until it answers whoever it is.
    private func isUp() async throws {
        let client = RedisClient(options)
        var reason = ""
        _ = try await until("redis answers") {
            do {
                try await client.send(["PING"])
                return true
            } catch let error as MicroError {
                reason = "\(error)"
                return error.code == .unauthenticated ? true : nil
            }
        } otherwise: {
            "\(reason)\n\((try? self.folder.text(of: "log")) ?? "")"
        }
        await client.close()
    }
}
