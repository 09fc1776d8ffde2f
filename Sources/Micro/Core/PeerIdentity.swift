internal import CMicroCore

/// Who a caller is, by the certificate that it has proved to own: an authority that the server
/// trusts has signed it.
public struct PeerIdentity: Sendable, Hashable {
    /// The subject, as RFC 2253 writes it: "CN=web,O=Example".
    public let subject: String
    /// The URIs among its alternative names: "spiffe://example.org/web".
    public let uris: [String]
    /// The DNS names among them.
    public let names: [String]

    /// For tests and gateways; the server makes those of its callers.
    ///
    /// - Parameters:
    ///   - subject: As RFC 2253 writes it.
    ///   - uris: The URIs among the alternative names.
    ///   - names: The DNS names among them.
    public init(subject: String, uris: [String] = [], names: [String] = []) {
        self.subject = subject
        self.uris = uris
        self.names = names
    }

    /// The SPIFFE ID: the one URI, when it is one as the standard has it: "spiffe://", a trust
    /// domain in lower case, and a path without empty, "." and ".." segments. Nothing is
    /// normalised: IDs are the same when their bytes are.
    public var spiffeID: String? {
        guard uris.count == 1, let uri = uris.first, PeerIdentity.isSPIFFE(uri) else { return nil }
        return uri
    }

    private static func isSPIFFE(_ uri: String) -> Bool {
        let scheme = "spiffe://"
        guard uri.utf8.count <= 2048, uri.hasPrefix(scheme) else { return false }
        let parts = uri.dropFirst(scheme.count).split(
            separator: "/", omittingEmptySubsequences: false)
        guard let domain = parts.first, (1...255).contains(domain.utf8.count) else { return false }
        return domain.utf8.allSatisfy { isOfDomain($0) }
            && parts.dropFirst().allSatisfy { segment in
                !segment.isEmpty && segment != "." && segment != ".."
                    && segment.utf8.allSatisfy { isOfDomain($0) || isUpper($0) }
            }
    }

    private static func isOfDomain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private static func isUpper(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
    }
}

extension PeerIdentity {
    /// Of the caller of a call of the core, while its handler runs; nil: it has proved nothing.
    init?(ofCall call: OpaquePointer) {
        var security = mcore_security()
        security.struct_size = UInt32(MemoryLayout<mcore_security>.size)
        guard mcore_call_security(call, &security) >= 0 else { return nil }
        self.init(security)
    }

    /// nil: it has proved nothing.
    init?(_ security: mcore_security) {
        guard security.peer_subject.len > 0 else { return nil }
        self.init(
            subject: String(security.peer_subject),
            uris: PeerIdentity.strings(security.peer_uris, security.peer_uri_count),
            names: PeerIdentity.strings(security.peer_names, security.peer_name_count))
    }

    private static func strings(_ slices: UnsafePointer<mcore_slice>?, _ count: UInt32) -> [String]
    {
        UnsafeBufferPointer(start: slices, count: slices == nil ? 0 : Int(count)).map { String($0) }
    }
}
