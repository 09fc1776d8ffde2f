import Testing

@testable import Micro

@Suite struct TLSOptionsTests {
    private static let tls = ServerTLSOptions(certificate: .pem("c"), key: .pem("k"))

    @Test func theUsualOnesAreGood() {
        #expect(Self.tls.problems.isEmpty)
        #expect(ClientTLSOptions().problems.isEmpty)
        #expect(ServerOptions(addresses: ["127.0.0.1:0"], tls: Self.tls).problems.isEmpty)
        #expect(ClientOptions(tls: ClientTLSOptions(ca: .file("/ca.pem"))).problems.isEmpty)
    }

    @Test func whatIsMissingIsNamed() {
        var server = ServerTLSOptions(
            certificate: .file(""), key: .pem(""), clientCertificates: .required(ca: .file("")))
        server.handshakeTimeout = .zero
        let problems = server.problems
        #expect(problems.count == 4)
        for name in ["tls.certificate", "tls.key", "tls.clientCertificates.ca", "handshakeTimeout"]
        {
            #expect(problems.contains { $0.contains(name) }, "\(name)")
        }
        #expect(ServerOptions(tls: server).problems.count == 4)

        var client = ClientTLSOptions(certificate: .pem("c"), serverName: "")
        client.handshakeTimeout = .seconds(100_000)
        #expect(client.problems.count == 3)
        #expect(client.problems.contains { $0.contains("a certificate without a key") })
        #expect(ClientOptions(tls: client).problems.count == 3)
        let key = ClientTLSOptions(key: .file("k"))
        #expect(key.problems.contains { $0.contains("a key without a certificate") })
    }

    @Test func tlsLiesOverTCP() {
        let addresses = ["127.0.0.1:1", "tcp://h:2", "tls://h:3", "unix:///s", "memory://m"]
        let plain = ServerOptions(addresses: addresses)
        #expect(
            plain.listeners.map(\.description) == [
                "tcp://127.0.0.1:1", "tcp://h:2", "tls://h:3", "unix:///s", "memory://m",
            ])
        #expect(plain.problems == ["tls://h:3: TLS needs options.tls, with a certificate"])

        var tls = Self.tls
        var secure = ServerOptions(addresses: addresses, tls: tls)
        #expect(
            secure.listeners.map(\.description) == [
                "tls://127.0.0.1:1", "tls://h:2", "tls://h:3", "unix:///s", "memory://m",
            ])
        #expect(secure.problems.count == 2)
        #expect(secure.problems.allSatisfy { $0.contains("needs allowPlaintext") })
        tls.allowPlaintext = true
        secure.tls = tls
        #expect(secure.problems.isEmpty)
        #expect(ServerOptions(tls: tls).listeners.map(\.description) == ["tls://127.0.0.1:0"])
    }

    @Test func unknownSchemesAreNamed() {
        let problems = ServerOptions(addresses: ["quic://h:1"]).problems
        #expect(problems.count == 1)
        #expect(problems[0].contains("unknown scheme \"quic\", known: tcp, tls, unix, memory"))
    }

    @Test func theRegisterTakesTheAddresses() throws {
        try NodeAddress.check("tls://10.0.0.1:443")
        #expect(throws: MicroError.self) { try NodeAddress.check("tls://10.0.0.1") }
        #expect(throws: MicroError.self) { try NodeAddress.check("tls://0.0.0.0:443") }
        let reachable = AdvertisedAddress.reachable("tls://0.0.0.0:443")
        #expect(reachable.hasPrefix("tls://") && reachable.hasSuffix(":443"))
        #expect(!reachable.contains("0.0.0.0"))
    }

    @Test func badMaterialIsRefusedWithItsReason() async throws {
        let options = ServerOptions(addresses: ["127.0.0.1:0"], tls: Self.tls)
        let server = Server(name: "s", options: options)
        let error = await expectError(.invalidArgument) { try await server.start() }
        #expect(error?.detail.contains("certificate: no certificate in it (PEM)") == true)

        let missing = ServerTLSOptions(
            certificate: .file("/nonexistent/c.pem"), key: .file("/nonexistent/k.pem"))
        let other = Server(name: "s", options: ServerOptions(tls: missing))
        let absent = await expectError(.notFound) { try await other.start() }
        #expect(absent?.detail == "certificate file /nonexistent/c.pem: not found")
    }

    @Test func aClientSaysWhatIsWrongWithItsFiles() async throws {
        var options = ClientOptions(tls: ClientTLSOptions(ca: .file("/nonexistent/ca.pem")))
        options.retry = .never
        let client = Client(resolver: StaticResolver([:]), options: options)
        let error = await expectError(.notFound) {
            let _: String = try await client.call(
                "s", "E", "x", options: CallOptions(address: "tls://127.0.0.1:1"))
        }
        #expect(error?.detail.contains("CA file /nonexistent/ca.pem: not found") == true)
        await client.close()
    }
}
