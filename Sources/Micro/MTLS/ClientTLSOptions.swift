/// Whom a client trusts, and how it shows who it is, at addresses that begin with "tls://".
///
/// The server is always verified: its certificate has to be signed by one of the authorities, be
/// valid now, and be for the name that was called. A client without these options trusts the
/// authorities of the system, and shows nothing.
public struct ClientTLSOptions: Sendable {
    /// Who may have signed the server's certificate. Default: the authorities of the system.
    public var ca = TrustedAuthorities.system
    /// What the client shows to servers that ask for it: its certificate first, then those that
    /// lead from it to an authority. Default: nothing.
    public var certificate: PEMSource?
    /// The private key of the certificate, not encrypted.
    public var key: PEMSource?
    /// The host name, or IP address, that the server's certificate has to be for. Default: the host
    /// of the address.
    public var serverName: String?
    /// Default: TLS 1.2.
    public var minimumVersion = TLSVersion.tls12
    /// From the connection to the end of its handshake. Default 5 s.
    public var handshakeTimeout: Duration = .seconds(5)

    /// - Parameters:
    ///   - ca: Who may have signed the server's certificate.
    ///   - certificate: What the client shows to servers that ask for it.
    ///   - key: The private key of the certificate.
    ///   - serverName: What the server's certificate has to be for, instead of the host of the
    ///     address.
    public init(
        ca: TrustedAuthorities = .system, certificate: PEMSource? = nil, key: PEMSource? = nil,
        serverName: String? = nil
    ) {
        self.ca = ca
        self.certificate = certificate
        self.key = key
        self.serverName = serverName
    }

    /// What can't be used, each named.
    var problems: [String] {
        var problems: [String] = []
        for (name, source) in [("certificate", certificate), ("key", key)]
        where source?.isEmpty == true {
            problems.append("client options: tls.\(name) is empty")
        }
        if (certificate == nil) != (key == nil) {
            problems.append(
                "client options: tls has a \(key == nil ? "certificate" : "key") without a "
                    + "\(key == nil ? "key" : "certificate")")
        }
        if let serverName, serverName.isEmpty || serverName.utf8.count > 255 {
            problems.append(
                "client options: tls.serverName has \(serverName.utf8.count) bytes: it must have "
                    + "1 to 255")
        }
        if handshakeTimeout < .milliseconds(1) || handshakeTimeout > .seconds(86_400) {
            problems.append(
                "client options: tls.handshakeTimeout is \(handshakeTimeout): it must be 1 ms to "
                    + "1 day")
        }
        return problems
    }

    var rules: TLSRules {
        var rules = TLSRules(role: .client)
        rules.requiresTLS13 = minimumVersion.isTLS13
        rules.handshakeTimeout = handshakeTimeout
        rules.serverName = serverName ?? ""
        return rules
    }

    var material: TLSMaterial {
        TLSMaterial(
            certificate: certificate?.item ?? .none, key: key?.item ?? .none, ca: ca.item)
    }
}
