import Foundation
import Micro
import MicroEtcd

/// An etcd of a test's own: one member, on free ports, in a folder that goes with it. It can be
/// killed, halted, and started again with or without what it knew.
final class Etcd {
    let folder: TestFolder
    let endpoint: String
    private let peer: String
    private let certificates: Certificates?
    private var program: Program?

    /// - Parameter certificates: Has "etcd.pem", and "caller.pem" for callers.
    init(certificates: Certificates? = nil) async throws {
        self.certificates = certificates
        folder = try TestFolder()
        // Held until both are known, or they might be the same.
        (endpoint, peer) = try await Etcd.freeAddresses()
        try start()
    }

    /// Starts one, calls `body` when it answers, and stops it.
    static func run(
        certificates: Certificates? = nil, _ body: (Etcd) async throws -> Void
    ) async throws {
        let etcd = try await Etcd(certificates: certificates)
        do {
            await (try etcd.client()).close()
            try await body(etcd)
        } catch {
            try? await etcd.kill()
            throw error
        }
        try await etcd.kill()
    }

    /// Ports that were free a moment ago. etcd can't choose them by itself.
    private static func freeAddresses() async throws -> (String, String) {
        let servers = [Server(name: "probe"), Server(name: "probe")]
        var addresses: [String] = []
        for server in servers {
            try await server.start()
            addresses += server.addresses.map { String($0.dropFirst("tcp://".count)) }
        }
        for server in servers { try await server.drain(grace: .zero) }
        return (addresses[0], addresses[1])
    }

    private func start() throws {
        let scheme = certificates == nil ? "http" : "https"
        var arguments = [
            "--name", "t", "--data-dir", "\(folder.path)/data",
            "--listen-client-urls", "\(scheme)://\(endpoint)",
            "--advertise-client-urls", "\(scheme)://\(endpoint)",
            "--listen-peer-urls", "http://\(peer)", "--initial-advertise-peer-urls",
            "http://\(peer)", "--initial-cluster", "t=http://\(peer)", "--unsafe-no-fsync",
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
    func halt() { program?.send(SIGSTOP) }
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

    /// Waits until it has elected itself and answers.
    func isUp(_ client: EtcdClient) async throws {
        var reason = ""
        _ = try await until("etcd answers") {
            do {
                return try await client.status().leader == 0 ? nil : true
            } catch {
                reason = "\(error)"
                return nil
            }
        } otherwise: {
            "\(reason)\n\(program?.errors ?? "")"
        }
    }
}
