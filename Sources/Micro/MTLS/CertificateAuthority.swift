/// An authority of one's own: it signs the certificates of services that know each other.
///
/// ```swift
/// let authority = try CertificateAuthority.create("Example root")
/// let web = try authority.issue("web", names: ["web.example", "spiffe://example.org/web"])
/// options.server.tls = ServerTLSOptions(
///     certificate: .pem(web.certificate), key: .pem(web.key),
///     clientCertificates: .required(ca: .pem(authority.certificate)))
/// ```
/// Keys are on the curve P-256. Nothing here touches files: where a key is kept is the program's to
/// decide.
public struct CertificateAuthority: Sendable, CustomStringConvertible {
    /// Its certificate, as PEM: what others trust, when it is a root.
    public let certificate: String
    /// Its private key, as PEM.
    public let key: String
    /// What leads from what it signs to a root: its own certificate and those above it but for the
    /// root, as PEM; empty for a root.
    public let chain: String

    /// An authority that exists.
    ///
    /// - Parameters:
    ///   - certificate: Its certificate, as PEM.
    ///   - key: Its private key, as PEM, not encrypted.
    ///   - chain: Its own certificate and those above it but for the root; empty for a root.
    public init(certificate: String, key: String, chain: String = "") {
        self.certificate = certificate
        self.key = key
        self.chain = chain
    }

    /// Without the key.
    public var description: String { "CertificateAuthority" }

    /// A new root.
    ///
    /// - Parameters:
    ///   - name: Its common name, 1 to 64 bytes.
    ///   - lifetime: From now. Default 365 days.
    ///   - pathLength: How many authorities may stand below it in a chain. Default 1.
    /// - Throws: ``MicroError``: invalidArgument.
    public static func create(
        _ name: String, lifetime: Duration = .seconds(365 * 86_400), pathLength: Int = 1
    ) throws(MicroError) -> CertificateAuthority {
        let plan = CertificatePlan(name: name, pathLength: max(0, pathLength), lifetime: lifetime)
        let (certificate, key) = try plan.issue()
        return CertificateAuthority(certificate: certificate, key: key ?? "")
    }

    /// A new authority below this one.
    ///
    /// - Parameters:
    ///   - name: Its common name, 1 to 64 bytes.
    ///   - lifetime: From now, and not beyond this one's. Default 30 days.
    ///   - pathLength: How many authorities may stand below it in a chain. Default 0.
    /// - Throws: ``MicroError``: invalidArgument; failedPrecondition when this one may not have
    ///   such an authority below it, or has expired.
    public func intermediate(
        _ name: String, lifetime: Duration = .seconds(30 * 86_400), pathLength: Int = 0
    ) throws(MicroError) -> CertificateAuthority {
        let plan = CertificatePlan(
            name: name, pathLength: max(0, pathLength), lifetime: lifetime,
            issuer: (certificate, key))
        let (text, key) = try plan.issue()
        return CertificateAuthority(certificate: text, key: key ?? "", chain: text + chain)
    }

    /// Issues a certificate with a new key.
    ///
    /// - Parameters:
    ///   - name: Its common name, 1 to 64 bytes: for people. Nothing is verified by it.
    ///   - names: What it is for: DNS names, IP addresses, and URIs such as a SPIFFE ID.
    ///   - use: Who may show it. Default: servers and clients.
    ///   - lifetime: From now, and not beyond the authority's. Default 1 day.
    /// - Throws: ``MicroError``: invalidArgument; failedPrecondition when this one has expired.
    public func issue(
        _ name: String, names: [String], use: CertificateUse = .both,
        lifetime: Duration = .seconds(86_400)
    ) throws(MicroError) -> IssuedCertificate {
        let (text, key) = try plan(name, names, use, lifetime).issue()
        return IssuedCertificate(certificate: text + chain, key: key ?? "")
    }

    /// Certifies the key of a request, so that it never has to leave its owner.
    ///
    /// - Parameters:
    ///   - request: As PEM; what it asks for is not binding but for the key.
    ///   - name: The common name.
    ///   - names: What the certificate is for; empty: the names that the request asks for. Who
    ///     calls this vouches for them in either case.
    ///   - use: Who may show it. Default: servers and clients.
    ///   - lifetime: From now, and not beyond the authority's. Default 1 day.
    /// - Returns: The certificate and ``chain``, as PEM.
    /// - Throws: As ``issue(_:names:use:lifetime:)``, and failedPrecondition when the request is
    ///   not signed by its key, or that is weak.
    public func sign(
        _ request: String, as name: String, names: [String] = [], use: CertificateUse = .both,
        lifetime: Duration = .seconds(86_400)
    ) throws(MicroError) -> String {
        var plan = plan(name, names, use, lifetime)
        plan.request = request
        return try plan.issue().text + chain
    }

    private func plan(
        _ name: String, _ names: [String], _ use: CertificateUse, _ lifetime: Duration
    ) -> CertificatePlan {
        CertificatePlan(
            name: name, names: names, isForServers: use.isForServers,
            isForClients: use.isForClients, lifetime: lifetime, issuer: (certificate, key))
    }
}

/// Who may show a certificate.
public struct CertificateUse: Sendable, Hashable {
    let isForServers: Bool
    let isForClients: Bool

    /// A server.
    public static let server = CertificateUse(isForServers: true, isForClients: false)
    /// A client.
    public static let client = CertificateUse(isForServers: false, isForClients: true)
    /// A service that is both.
    public static let both = CertificateUse(isForServers: true, isForClients: true)
}

/// A certificate with its key.
public struct IssuedCertificate: Sendable, CustomStringConvertible {
    /// The certificate and what leads from it to a root, as PEM.
    public let certificate: String
    /// Its private key, as PEM.
    public let key: String

    /// Without the key.
    public var description: String { "IssuedCertificate" }

    /// Until when it is valid, in seconds since 1970.
    public var expiresAt: Int64 { certificateExpiry(certificate) ?? 0 }
}

/// A key, and the request to certify it.
public struct CertificateRequest: Sendable, CustomStringConvertible {
    /// The request, as PEM: what ``CertificateAuthority/sign(_:as:names:use:lifetime:)`` takes.
    public let request: String
    /// The private key, as PEM: nobody else gets it.
    public let key: String

    /// Without the key.
    public var description: String { "CertificateRequest" }

    /// Makes both.
    ///
    /// - Parameters:
    ///   - name: The common name that is asked for.
    ///   - names: The DNS names, IP addresses and URIs that are asked for.
    /// - Throws: ``MicroError``: invalidArgument.
    public init(_ name: String, names: [String]) throws(MicroError) {
        let (text, key) = try CertificatePlan(name: name, names: names).requestSigning()
        self.request = text
        self.key = key ?? ""
    }
}
