import Logging
import Testing

@testable import Micro

/// An authority, and services whose certificates it has signed.
@Suite(.timeLimit(.minutes(10)))
struct CertificateAuthorityTests {
    private func ask(
        _ server: IssuedCertificate, trusts: CertificateAuthority, by client: ClientTLSOptions
    ) async throws -> String {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let tls = ServerTLSOptions(
            certificate: .pem(server.certificate), key: .pem(server.key),
            clientCertificates: .required(ca: .pem(trusts.certificate)))
        let vault = Server(
            name: "vault", options: ServerOptions(addresses: ["127.0.0.1:0"], tls: tls),
            logger: logger)
        vault.handle("Vault.Who") { (text: String, context) in
            context.peerIdentity?.spiffeID ?? "nobody"
        }
        try await vault.start()
        let address = try #require(vault.addresses.first)
        var options = ClientOptions(tls: client)
        options.retry = .never
        let caller = Client(resolver: StaticResolver([:]), options: options)
        let answer: Result<String, any Error>
        do {
            answer = .success(
                try await caller.call(
                    "vault", "Vault.Who", "?",
                    options: CallOptions(timeout: .seconds(60), address: address)))
        } catch {
            answer = .failure(error)
        }
        await caller.close()
        try await vault.drain(grace: .zero)
        return try answer.get()
    }

    private func options(
        _ certificate: String, _ key: String, trusting authority: CertificateAuthority
    ) -> ClientTLSOptions {
        ClientTLSOptions(
            ca: .pem(authority.certificate), certificate: .pem(certificate), key: .pem(key))
    }

    @Test func whatItSignsIsTrusted() async throws {
        let root = try CertificateAuthority.create("Root")
        let services = try root.intermediate("Services")
        #expect(root.chain.isEmpty)
        #expect(services.chain == services.certificate)
        let vault = try services.issue("vault", names: ["127.0.0.1"], use: .server)
        let web = try services.issue("web", names: ["spiffe://example.org/web"], use: .client)
        let seen = try await ask(
            vault, trusts: root, by: options(web.certificate, web.key, trusting: root))
        #expect(seen == "spiffe://example.org/web")

        let request = try CertificateRequest("cron", names: ["spiffe://example.org/cron"])
        let cron = try services.sign(request.request, as: "cron", use: .client)
        let next = try await ask(
            vault, trusts: root, by: options(cron, request.key, trusting: root))
        #expect(next == "spiffe://example.org/cron")

        let stranger = try CertificateAuthority.create("Stranger")
        let forged = try stranger.issue("web", names: ["spiffe://example.org/web"])
        let error = await expectError(.unavailable) {
            _ = try await ask(
                vault, trusts: root, by: options(forged.certificate, forged.key, trusting: root))
        }
        #expect(error?.detail.contains("does not know who issued our certificate") == true)
    }

    @Test func itKeepsToWhatItMay() async throws {
        let root = try CertificateAuthority.create("Root", pathLength: 0)
        await expectError(.failedPrecondition) { _ = try root.intermediate("Below") }
        let leaf = try root.issue("leaf", names: ["leaf.example"], lifetime: .seconds(60))
        let fake = CertificateAuthority(certificate: leaf.certificate, key: leaf.key)
        let error = await expectError(.failedPrecondition) {
            _ = try fake.issue("x", names: ["x.example"])
        }
        #expect(error?.detail == "the issuer is not an authority")
        await expectError(.invalidArgument) { _ = try root.issue("", names: []) }
        await expectError(.invalidArgument) { _ = try root.issue("x", names: ["two words"]) }
        await expectError(.invalidArgument) {
            _ = try root.issue("x", names: [], lifetime: .zero)
        }
        await expectError(.invalidArgument) { _ = try root.sign("nonsense", as: "x") }
        await expectError(.invalidArgument) {
            _ = try CertificateRequest("x", names: ["a\0b"])
        }
    }

    @Test func keysAreNotPrinted() throws {
        let root = try CertificateAuthority.create("Root")
        let leaf = try root.issue("leaf", names: ["leaf.example"])
        let request = try CertificateRequest("x", names: [])
        for text in ["\(root)", "\(leaf)", "\(request)"] { #expect(!text.contains("KEY")) }
        #expect(leaf.key.contains("PRIVATE KEY"))
        #expect(leaf.expiresAt > 1_700_000_000)
    }
}
