import Foundation
import Micro
import MicroEtcd

/// An etcd of a test's own: a member, alone or in a cluster, on free ports, in a folder that goes
/// with it. It can be killed, halted, and started again with or without what it knew.
final class Etcd {
    let folder: TestFolder
    let endpoint: String
    private let name: String
    private let peer: String
    /// "name=http://peer" of all members.
    private let cluster: String
    private let certificates: Certificates?
    private var program: Program?

    private init(
        name: String, endpoint: String, peer: String, cluster: String, certificates: Certificates?
    ) throws {
        (self.name, self.endpoint, self.peer, self.cluster) = (name, endpoint, peer, cluster)
        self.certificates = certificates
        folder = try TestFolder()
        try start()
    }

    /// Starts one, calls `body` when it answers, and stops it.
    ///
    /// - Parameter certificates: Has "etcd.pem", and "caller.pem" for callers.
    static func run(
        certificates: Certificates? = nil, _ body: (Etcd) async throws -> Void
    ) async throws {
        try await run(members: 1, certificates) { try await body($0[0]) }
    }

    /// Starts a cluster, calls `body` when all of its members answer, and stops it.
    static func run(members count: Int, _ body: ([Etcd]) async throws -> Void) async throws {
        try await run(members: count, nil, body)
    }

    private static func run(
        members count: Int, _ certificates: Certificates?, _ body: ([Etcd]) async throws -> Void
    ) async throws {
        let addresses = try await freeAddresses(2 * count)
        let cluster = (0..<count).map { "t\($0)=http://\(addresses[count + $0])" }
        let members = try (0..<count).map {
            try Etcd(
                name: "t\($0)", endpoint: addresses[$0], peer: addresses[count + $0],
                cluster: cluster.joined(separator: ","), certificates: certificates)
        }
        do {
            for member in members { await (try member.client()).close() }
            try await body(members)
        } catch {
            for member in members { try? await member.kill() }
            throw error
        }
        for member in members { try await member.kill() }
    }

    /// Ports that were free a moment ago, for servers that can't choose them by themselves.
    static func freeAddresses(_ count: Int) async throws -> [String] {
        // Held until all are known, or two might be the same.
        let servers = (0..<count).map { _ in Server(name: "probe") }
        var addresses: [String] = []
        for server in servers {
            try await server.start()
            addresses += server.addresses.map { String($0.dropFirst("tcp://".count)) }
        }
        for server in servers { try await server.drain(grace: .zero) }
        return addresses
    }

    private func start() throws {
        let scheme = certificates == nil ? "http" : "https"
        var arguments = [
            "--name", name, "--data-dir", "\(folder.path)/data",
            "--listen-client-urls", "\(scheme)://\(endpoint)",
            "--advertise-client-urls", "\(scheme)://\(endpoint)",
            "--listen-peer-urls", "http://\(peer)", "--initial-advertise-peer-urls",
            "http://\(peer)", "--initial-cluster", cluster, "--unsafe-no-fsync",
            "--logger", "zap", "--log-level", "error",
        ]
        if let certificates {
            arguments += [
                "--cert-file", certificates.path("etcd.pem"), "--key-file",
                certificates.path("etcd.key"), "--client-cert-auth", "--trusted-ca-file",
                certificates.ca,
            ]
        }
        program = try Program("etcd", arguments, folder: folder.path)
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
    ///
    /// - Parameter isEmpty: It has lost all that it knew.
    func restart(isEmpty: Bool = false) throws {
        if isEmpty { try FileManager.default.removeItem(atPath: "\(folder.path)/data") }
        try start()
    }

    /// It does nothing until it is woken, and its connections stay.
    func halt() async throws {
        guard let program else { return }
        program.send(SIGSTOP)
        try await until("etcd stands still") { program.isHalted }
    }
    func wake() { program?.send(SIGCONT) }

    var options: EtcdOptions {
        var options = EtcdOptions(endpoints: [endpoint])
        if let certificates {
            options.tls = ClientTLSOptions(
                ca: .file(certificates.ca), certificate: .file(certificates.path("caller.pem")),
                key: .file(certificates.path("caller.key")))
        }
        options.timeout = .seconds(20)  // on a slow machine, with etcd electing itself
        options.reconnectMax = .milliseconds(200)
        return options
    }

    /// A client, when etcd answers.
    func client() async throws -> EtcdClient {
        let client = EtcdClient(options)
        try await isUp(client)
        return client
    }

    /// Administration, which the client does not do, by etcd's API in JSON; not behind TLS.
    ///
    /// - Parameter call: "auth/enable".
    func administer(_ call: String, _ request: String = "{}") async throws {
        let answer = try await curl("--data", request, "http://\(endpoint)/v3/\(call)")
        guard answer.status == 200 else {
            throw TestFailure("\(call): \(answer.status): \(answer.body)")
        }
    }

    /// Waits until it has elected itself and answers.
    func isUp(_ client: EtcdClient, at endpoint: String? = nil) async throws {
        var reason = ""
        _ = try await until("etcd answers") {
            do {
                return try await client.status(of: endpoint).leader == 0 ? nil : true
            } catch {
                reason = "\(error)"
                return nil
            }
        } otherwise: {
            "\(reason)\n\(program?.errors ?? "")"
        }
    }
}
