import Foundation
import Logging
import Micro
import Synchronization
import Testing

extension EndToEnd {
    /// TLS with peers that we did not write, and with certificates from files.
    @Suite struct TLSTests {
        /// A server that says who calls it.
        private func withServer(
            _ tls: ServerTLSOptions, _ body: (Server, _ hostAndPort: String) async throws -> Void
        ) async throws {
            var logger = Logger(label: "test")
            logger.logLevel = .critical  // of those that are refused, there are many
            let server = Server(
                name: "vault", options: ServerOptions(addresses: ["127.0.0.1:0"], tls: tls),
                logger: logger)
            server.handle("Vault.Who") { (text: String, context) in
                context.peerIdentity?.spiffeID ?? context.peerIdentity?.subject ?? "nobody"
            }
            try await server.start()
            do {
                let address = try #require(server.addresses.first)
                #expect(address.hasPrefix("tls://127.0.0.1:"))
                try await body(server, String(address.dropFirst("tls://".count)))
            } catch {
                try await server.drain(grace: .zero)
                throw error
            }
            try await server.drain(grace: .seconds(1))
        }

        private func usual() async throws -> (Certificates, ServerTLSOptions) {
            let certificates = try await Certificates()
            try await certificates.issue(
                "server", "DNS:vault.example,IP:127.0.0.1", usage: "serverAuth")
            let tls = ServerTLSOptions(
                certificate: .file(certificates.path("server.pem")),
                key: .file(certificates.path("server.key")))
            return (certificates, tls)
        }

        private func ask(
            _ address: String, _ tls: ClientTLSOptions?, timeout: Duration = .seconds(20)
        ) async throws -> String {
            var options = ClientOptions(tls: tls)
            options.retry = .never
            let client = Client(resolver: StaticResolver([:]), options: options)
            defer { Task { await client.close() } }
            return try await client.call(
                "vault", "Vault.Who", "?",
                options: CallOptions(timeout: timeout, address: "tls://\(address)"))
        }

        // MARK: curl and openssl

        @Test func curlSpeaksBothVersions() async throws {
            let (certificates, tls) = try await usual()
            try await withServer(tls) { server, address in
                for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
                    let answer = try await curl(
                        flag, "--cacert", certificates.ca, "--json", "\"?\"",
                        "https://\(address)/vault/Vault.Who")
                    #expect(answer.status == 200)
                    #expect(answer.version == version)
                    #expect(answer.body == "\"nobody\"")
                }
                let refusal = await #expect(throws: TestFailure.self) {
                    try await curl("https://\(address)/vault/Vault.Who")
                }
                #expect(refusal?.description.contains("certificate") == true)
                #expect(server.statistics.handshakes == 2)
            }
        }

        private func connect(_ address: String, _ arguments: String...) async throws -> String {
            let result = try await Program.run(
                "openssl", ["s_client", "-connect", address, "-verify_return_error"] + arguments,
                input: "")
            return result.output + result.errors
        }

        @Test func openSSLAgreesOnWhatIsSafe() async throws {
            let (certificates, tls) = try await usual()
            try await withServer(tls) { _, address in
                let trust = ["-CAfile", certificates.ca]
                let usual = try await connect(address, trust[0], trust[1], "-alpn", "h2")
                #expect(usual.contains("ALPN protocol: h2"), "\(usual)")
                #expect(usual.contains("Verification: OK"))
                #expect(usual.contains("TLSv1.3"))
                let both = try await connect(
                    address, trust[0], trust[1], "-alpn", "http/1.1,h2", "-tls1_2")
                #expect(both.contains("ALPN protocol: h2"))
                #expect(both.contains("Protocol  : TLSv1.2"), "\(both)")
                #expect(both.contains("ECDHE-ECDSA-AES"))
                #expect(both.contains("Compression: NONE"))
                let first = try await connect(
                    address, trust[0], trust[1], "-alpn", "http/1.1")
                #expect(first.contains("ALPN protocol: http/1.1"))
                let none = try await connect(address, trust[0], trust[1], "-alpn", "spdy/1")
                #expect(none.contains("no application protocol"), "\(none)")
                let old = try await connect(
                    address, trust[0], trust[1], "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
                #expect(old.contains("alert protocol version"), "\(old)")
                let cipher = try await connect(
                    address, trust[0], trust[1], "-tls1_2", "-cipher", "AES128-SHA:AES256-SHA")
                #expect(cipher.contains("handshake failure"), "\(cipher)")
            }
        }

        // MARK: Our client

        @Test func ourClientVerifiesTheServer() async throws {
            let (certificates, tls) = try await usual()
            try await withServer(tls) { _, address in
                let ca = TrustedAuthorities.file(certificates.ca)
                let byAddress = try await ask(address, ClientTLSOptions(ca: ca))
                #expect(byAddress == "nobody")
                let named = ClientTLSOptions(ca: ca, serverName: "vault.example")
                let byName = try await ask(address, named)
                #expect(byName == "nobody")

                let other = ClientTLSOptions(ca: ca, serverName: "other.example")
                let misnamed = await failure { _ = try await ask(address, other) }
                #expect(misnamed?.code == .unavailable)
                #expect(
                    misnamed?.detail.contains(
                        "certificate of vault.example is not for other.example") == true,
                    "\(String(describing: misnamed))")
                let unknown = await failure { _ = try await ask(address, nil) }
                #expect(
                    unknown?.detail.contains("was issued by CN=Test ca, whom we don't trust")
                        == true, "\(String(describing: unknown))")
            }
        }

        @Test func callersShowWhoTheyAre() async throws {
            let (certificates, plain) = try await usual()
            try await certificates.issue(
                "web", "URI:spiffe://example.org/web", usage: "clientAuth")
            try await certificates.issue("cron", "DNS:cron.example", usage: "clientAuth")
            let stranger = try await Certificates("stranger", in: certificates.folder)
            try await stranger.issue("mallory", "DNS:web.example", usage: "clientAuth")
            var tls = plain
            tls.clientCertificates = .required(ca: .file(certificates.ca))

            func options(_ name: String) -> ClientTLSOptions {
                ClientTLSOptions(
                    ca: .file(certificates.ca),
                    certificate: .file(certificates.path("\(name).pem")),
                    key: .file(certificates.path("\(name).key")))
            }
            try await withServer(tls) { server, address in
                #expect(try await ask(address, options("web")) == "spiffe://example.org/web")
                #expect(try await ask(address, options("cron")) == "CN=cron")
                let unknown = await failure { _ = try await ask(address, options("mallory")) }
                #expect(
                    unknown?.detail.contains("the peer does not know who issued our certificate")
                        == true, "\(String(describing: unknown))")
                let nobody = ClientTLSOptions(ca: .file(certificates.ca))
                let anonymous = await failure { _ = try await ask(address, nobody) }
                #expect(
                    anonymous?.detail.contains("the peer wants a certificate of ours") == true,
                    "\(String(describing: anonymous))")
                let answer = try await curl(
                    "--cacert", certificates.ca, "--cert", certificates.path("web.pem"), "--key",
                    certificates.path("web.key"), "--json", "\"?\"",
                    "https://\(address)/vault/Vault.Who")
                #expect(answer.body == "\"spiffe://example.org/web\"")
                #expect(server.statistics.handshakesFailed == 2)
            }
        }

        @Test func plaintextIsServedOnlyWhereItIsAllowed() async throws {
            let (certificates, tls) = try await usual()
            try await withServer(tls) { _, address in
                await #expect(throws: TestFailure.self) {
                    try await curl("--json", "\"?\"", "http://\(address)/vault/Vault.Who")
                }
            }
            var tolerant = tls
            tolerant.allowPlaintext = true
            try await withServer(tolerant) { _, address in
                let plain = try await curl(
                    "--json", "\"?\"", "http://\(address)/vault/Vault.Who")
                #expect(plain.body == "\"nobody\"")
                let secure = ClientTLSOptions(ca: .file(certificates.ca))
                #expect(try await ask(address, secure) == "nobody")
            }
        }

        @Test func aClientTellsAPlainServerFromASecureOne() async throws {
            try await Kitchen.open { kitchen in
                let error = await failure { _ = try await ask(kitchen.address, nil) }
                #expect(error?.code == .unavailable)
                #expect(error?.detail.contains("tls://\(kitchen.address)") == true)
            }
        }

        @Test func aServiceRegistersAndIsFoundWithTLS() async throws {
            let (certificates, tls) = try await usual()
            try await Kitchen.open { options in
                options.server.tls = tls
                options.client.tls = ClientTLSOptions(ca: .file(certificates.ca))
            } _: { kitchen in
                #expect(kitchen.service.addresses.first?.hasPrefix("tls://") == true)
                for number in 0..<20 {
                    let item = Kitchen.Item(text: "pan", number: number)
                    let reply: Kitchen.Item = try await kitchen.service.client.call(
                        "kitchen", "Kitchen.Echo", item)
                    #expect(reply == item)
                }
            }
        }

        // MARK: grpcio

        @Test func grpcioCallsOurServer() async throws {
            struct Observation: Decodable { var replies: [String] }
            let (certificates, plain) = try await usual()
            try await certificates.issue(
                "web", "URI:spiffe://example.org/web", usage: "clientAuth")
            var tls = plain
            tls.clientCertificates = .required(ca: .file(certificates.ca))
            try await withServer(tls) { server, address in
                let seen = try await Peer.observe(
                    "tls_peer.py", "client", address, certificates.ca,
                    certificates.path("web.pem"), certificates.path("web.key"),
                    as: Observation.self)
                #expect(seen.replies == Array(repeating: "spiffe://example.org/web", count: 20))
                #expect(server.statistics.handshakes == 1)
            }
        }

        @Test func ourClientCallsGrpcio() async throws {
            let (certificates, _) = try await usual()
            try await certificates.issue("web", "DNS:web.example", usage: "clientAuth")
            let peer = try Peer.start(
                "tls_peer.py", "server", certificates.ca, certificates.path("server.pem"),
                certificates.path("server.key"))
            let port = try await peer.line(with: "port ").dropFirst("port ".count)
            let tls = ClientTLSOptions(
                ca: .file(certificates.ca), certificate: .file(certificates.path("web.pem")),
                key: .file(certificates.path("web.key")))
            let client = Client(
                resolver: StaticResolver(addresses: [:]), options: ClientOptions(tls: tls))
            for _ in 0..<20 {
                let names: [String] = try await client.call(
                    "peer", "peer.Peer/Who", "?",
                    options: CallOptions(
                        timeout: .seconds(30), address: "tls://127.0.0.1:\(port)"))
                #expect(names == ["web.example"])
            }
            await client.close()
            peer.closeInput()
            _ = try await peer.end()
        }

        // MARK: Rotation

        @Test func badFilesAreNamedAtTheStart() async throws {
            let (certificates, tls) = try await usual()
            try await certificates.issue("other", "DNS:other", usage: "serverAuth")
            var crossed = tls
            crossed.key = .file(certificates.path("other.key"))
            let error = await failure { try await withServer(crossed) { _, _ in } }
            #expect(error?.code == .invalidArgument)
            #expect(
                error?.detail
                    == "key file \(certificates.path("other.key")) does not belong to certificate "
                    + "file \(certificates.path("server.pem"))")
        }

        /// Replaces the server's files as a tool does: one after the other.
        private func rotate(_ certificates: Certificates, to name: String) throws {
            for kind in ["pem", "key"] {
                try certificates.folder.write(
                    certificates.folder.text(of: "\(name).\(kind)"), to: "server.\(kind)")
            }
        }

        private final class Traffic: Sendable {
            let isOver = Atomic(false)
            let calls = Atomic(0)
        }

        @Test func certificatesRotateUnderTraffic() async throws {
            let (certificates, tls) = try await usual()
            for number in 1...3 {
                try await certificates.issue(
                    "next\(number)", "DNS:next\(number).example,IP:127.0.0.1", usage: "serverAuth")
            }
            let ca = TrustedAuthorities.file(certificates.ca)
            try await withServer(tls) { server, address in
                let traffic = Traffic()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    // One keeps its connection, one opens a new one each time.
                    group.addTask {
                        let client = Client(
                            resolver: StaticResolver([:]),
                            options: ClientOptions(tls: ClientTLSOptions(ca: ca)))
                        while !traffic.isOver.load(ordering: .relaxed) {
                            let _: String = try await client.call(
                                "vault", "Vault.Who", "?",
                                options: CallOptions(
                                    timeout: .seconds(20), address: "tls://\(address)"))
                            traffic.calls.wrappingAdd(1, ordering: .relaxed)
                        }
                        await client.close()
                    }
                    group.addTask {
                        while !traffic.isOver.load(ordering: .relaxed) {
                            _ = try await ask(address, ClientTLSOptions(ca: ca))
                            traffic.calls.wrappingAdd(1, ordering: .relaxed)
                        }
                    }
                    group.addTask {
                        defer { traffic.isOver.store(true, ordering: .relaxed) }
                        for number in 1...3 {
                            try rotate(certificates, to: "next\(number)")
                            let named = ClientTLSOptions(
                                ca: ca, serverName: "next\(number).example")
                            try await until("the certificate next\(number) is served") {
                                (try? await ask(address, named)) != nil
                            }
                        }
                        // A key that does not belong to it: everything stays.
                        try certificates.folder.write(
                            certificates.folder.text(of: "next1.key"), to: "server.key")
                        let error = await failure { try await server.reloadCertificates() }
                        #expect(error?.detail.contains("does not belong to") == true)
                        let named = ClientTLSOptions(ca: ca, serverName: "next3.example")
                        #expect(try await ask(address, named) == "nobody")
                    }
                    try await group.waitForAll()
                }
                #expect(traffic.calls.load(ordering: .relaxed) > 10)
            }
        }
    }
}
