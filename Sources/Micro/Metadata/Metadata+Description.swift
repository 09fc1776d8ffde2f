extension Metadata: CustomStringConvertible {
    /// One line: "[tenant: acme, authorization: ***]". Values of secret names are hidden, bytes are
    /// counted, control characters are escaped.
    public var description: String {
        "[\(entries.map(\.description).joined(separator: ", "))]"
    }

    /// Whether values of this name are kept out of logs.
    fileprivate static func isSecret(_ name: String) -> Bool {
        switch name {
        case "authorization", "cookie", "proxy-authorization", "set-cookie": true
        default: false
        }
    }
}

extension Metadata.Entry: CustomStringConvertible {
    /// "tenant: acme". Values of secret names are hidden, bytes are counted.
    public var description: String {
        let shown =
            switch value {
            case _ where Metadata.isSecret(name): "***"
            case .text(let text): text
            case .bytes(let bytes): "<\(bytes.count) bytes>"
            }
        return "\(name): \(shown)".onSingleLine
    }
}
