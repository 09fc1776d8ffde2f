/// Where a certificate, a key or a list of authorities comes from. All are PEM.
public struct PEMSource: Sendable, Hashable {
    let item: TLSItem

    /// A file, which is read when the server or client starts, and again when it changes.
    /// - Parameter path: Relative to the working directory, or absolute.
    public static func file(_ path: String) -> PEMSource { PEMSource(item: .file(path)) }

    /// The PEM itself: "-----BEGIN CERTIFICATE-----" and so on.
    /// - Parameter text: As many blocks as there are.
    public static func pem(_ text: String) -> PEMSource { PEMSource(item: .text(text)) }

    /// Whether there is nothing to read.
    var isEmpty: Bool {
        switch item {
        case .none: true
        case .text(let text), .file(let text): text.isEmpty
        }
    }
}

/// Who may have signed the certificate of a peer.
public struct TrustedAuthorities: Sendable, Hashable {
    let item: TLSItem

    /// The authorities of the operating system.
    public static let system = TrustedAuthorities(item: .none)

    /// Those in a file, and nobody else. It is read again when it changes.
    /// - Parameter path: Relative to the working directory, or absolute.
    public static func file(_ path: String) -> TrustedAuthorities {
        TrustedAuthorities(item: .file(path))
    }

    /// Those in a text, and nobody else.
    /// - Parameter text: Certificates, as PEM.
    public static func pem(_ text: String) -> TrustedAuthorities {
        TrustedAuthorities(item: .text(text))
    }
}

/// A version of TLS.
public struct TLSVersion: Sendable, Hashable {
    let isTLS13: Bool

    /// TLS 1.2, with ephemeral keys and authenticated encryption only, or 1.3.
    public static let tls12 = TLSVersion(isTLS13: false)
    /// TLS 1.3.
    public static let tls13 = TLSVersion(isTLS13: true)
}

/// Whether a server asks its callers who they are.
public struct ClientCertificates: Sendable, Hashable {
    let ca: PEMSource?

    /// Nobody is asked for a certificate.
    public static let none = ClientCertificates(ca: nil)

    /// Everybody is, and who has none that `ca` has signed gets no connection. Handlers read who
    /// it was from ``Context/peerIdentity``.
    /// - Parameter ca: The certificates of the authorities.
    public static func required(ca: PEMSource) -> ClientCertificates { ClientCertificates(ca: ca) }
}
