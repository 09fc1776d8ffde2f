/// How a server encrypts, and whom it lets in.
///
/// With these, every "tcp" address of the server is one of TLS: it is bound and registered as
/// "tls://host:port". The certificate has to be for the hosts that callers use, which is what the
/// register tells them, unless they expect a name of their own (``ClientTLSOptions/serverName``).
/// Certificates that come from files are read again when they change; connections that are open
/// stay as they are.
public struct ServerTLSOptions: Sendable {
    /// The server's certificate first, then those that lead from it to an authority.
    public var certificate: PEMSource
    /// The private key of the certificate, not encrypted.
    public var key: PEMSource
    /// Whether callers have to show a certificate. Default: none.
    public var clientCertificates = ClientCertificates.none
    /// Whether callers without TLS are served too, at the same address. Default false: they are
    /// turned away.
    public var allowPlaintext = false
    /// Default: TLS 1.2.
    public var minimumVersion = TLSVersion.tls12
    /// From accepting a connection to the end of its handshake. Default 5 s.
    public var handshakeTimeout: Duration = .seconds(5)

    /// - Parameters:
    ///   - certificate: The server's certificate first, then those that lead to an authority.
    ///   - key: The private key of the certificate, not encrypted.
    ///   - clientCertificates: Whether callers have to show a certificate.
    ///   - allowPlaintext: Whether callers without TLS are served too.
    public init(
        certificate: PEMSource, key: PEMSource, clientCertificates: ClientCertificates = .none,
        allowPlaintext: Bool = false
    ) {
        self.certificate = certificate
        self.key = key
        self.clientCertificates = clientCertificates
        self.allowPlaintext = allowPlaintext
    }

    /// What can't be served with these, each named.
    var problems: [String] {
        var problems: [String] = []
        let sources = [
            ("certificate", certificate), ("key", key),
            ("clientCertificates.ca", clientCertificates.ca ?? key),
        ]
        for (name, source) in sources where source.isEmpty {
            problems.append("options.tls.\(name) is empty")
        }
        if handshakeTimeout < .milliseconds(1) || handshakeTimeout > .seconds(86_400) {
            problems.append(
                "options.tls.handshakeTimeout is \(handshakeTimeout): it must be 1 ms to 1 day")
        }
        return problems
    }

    var rules: TLSRules {
        var rules = TLSRules(role: .server)
        rules.requiresClientCertificates = clientCertificates.ca != nil
        rules.allowsPlaintext = allowPlaintext
        rules.requiresTLS13 = minimumVersion.isTLS13
        rules.handshakeTimeout = handshakeTimeout
        return rules
    }

    var material: TLSMaterial {
        TLSMaterial(
            certificate: certificate.item, key: key.item, ca: clientCertificates.ca?.item ?? .none)
    }
}
