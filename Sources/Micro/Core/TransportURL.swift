/// What `MICRO_TRANSPORT` says: "tcp", "plugin:/path/x.so?name=value&sha256=...",
/// "faulty:tcp?seed=7&reset=1000".
struct TransportURL: Sendable, Hashable {
    enum Kind: Sendable, Hashable {
        case builtIn
        case plugin(path: String)
        case faulty(scheme: String)
    }

    let kind: Kind
    let options: [String: String]

    init(_ text: String) throws(MicroError) {
        let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let head = parts[0]
        let options = parts.count > 1 ? try TransportURL.options(parts[1], of: text) : [:]
        if head == TransportScheme.tcp, options.isEmpty {
            kind = .builtIn
        } else if let path = TransportURL.rest(of: head, behind: "plugin:") {
            kind = .plugin(path: try TransportURL.decode(path, of: text))
        } else if let scheme = TransportURL.rest(of: head, behind: "faulty:") {
            kind = .faulty(scheme: String(scheme))
        } else {
            throw TransportURL.invalid(
                text,
                "is no transport: write \"tcp\", \"plugin:/path/of.so?option=value\" or "
                    + "\"faulty:tcp?reset=1000\"")
        }
        self.options = options
    }

    private static func rest(of text: Substring, behind prefix: String) -> Substring? {
        text.hasPrefix(prefix) ? text.dropFirst(prefix.count) : nil
    }

    private static func options(
        _ query: Substring, of text: String
    ) throws(MicroError) -> [String: String] {
        var options: [String: String] = [:]
        for pair in query.split(separator: "&") {
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = try decode(sides[0], of: text)
            guard sides.count == 2, !name.isEmpty else {
                throw invalid(text, "has an option \"\(pair)\" that is not name=value")
            }
            guard options.updateValue(try decode(sides[1], of: text), forKey: name) == nil else {
                throw invalid(text, "has the option \"\(name)\" twice")
            }
        }
        return options
    }

    /// "%2F" is "/" (RFC 3986, 2.1).
    private static func decode(
        _ text: Substring, of whole: String
    ) throws(MicroError) -> String {
        guard let bytes = percentDecoded(text) else {
            throw invalid(whole, "has a \"%\" without two hex digits behind it")
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else {
            throw invalid(whole, "is not UTF-8 when it is decoded")
        }
        return decoded
    }

    private static func invalid(_ text: String, _ problem: String) -> MicroError {
        MicroError.invalid("transport", "\"\(text.prefix(200))\" \(problem)", at: "url")
    }
}
