/// A media type: "application/json; charset=utf-8". Parsed strictly by RFC 9110.
public struct ContentType: Sendable, Hashable, CustomStringConvertible {
    /// A parameter: "charset=utf-8".
    public struct Parameter: Sendable, Hashable {
        /// Lower case.
        public var name: String
        /// As it was written, without its quotes.
        public var value: String
    }

    /// "application", in lower case; "*" in a range.
    public let type: String

    /// "json", in lower case; "*" in a range.
    public let subtype: String

    /// In their order. Without the weight, which is not part of a type.
    public let parameters: [Parameter]

    init(_ type: String, _ subtype: String, parameters: [Parameter] = []) {
        self.type = type
        self.subtype = subtype
        self.parameters = parameters
    }

    /// Parses a Content-Type header; nil for what isn't one, for ranges such as "text/*" and for
    /// more than 1024 bytes.
    public init?(_ text: String) {
        guard text.utf8.count <= 1024 else { return nil }
        var fields = HeaderFields(text)
        fields.skipBlanks()
        guard let parsed = fields.mediaType(), parsed.type != "*", parsed.subtype != "*" else {
            return nil
        }
        fields.skipBlanks()
        guard fields.isAtEnd else { return nil }
        self = parsed
    }

    /// "application/json": without parameters.
    public var essence: String { "\(type)/\(subtype)" }

    /// What follows the last "+" of the subtype: "json" of "application/vnd.order+json".
    public var suffix: String? {
        subtype.lastIndex(of: "+").map { String(subtype[subtype.index(after: $0)...]) }
    }

    /// The value of the first parameter of this name, in any case.
    public subscript(parameter name: String) -> String? {
        let name = name.lowercased()
        return parameters.first { $0.name == name }?.value
    }

    /// As it is written in a header.
    public var description: String {
        parameters.reduce(into: essence) { text, parameter in
            text += "; \(parameter.name)=\(HeaderFields.quotedIfNeeded(parameter.value))"
        }
    }

    /// `application/json`.
    public static let json = ContentType("application", "json")
    /// `application/problem+json`: errors over HTTP.
    public static let problem = ContentType("application", "problem+json")
    /// `application/x-ndjson`: a JSON value on each line.
    static let jsonLines = ContentType("application", "x-ndjson")
    /// `text/event-stream`: server-sent events.
    static let events = ContentType("text", "event-stream")
    /// `application/msgpack`.
    public static let messagePack = ContentType("application", "msgpack")
    /// `application/cbor`.
    public static let cbor = ContentType("application", "cbor")
    /// `application/x-www-form-urlencoded`: a form of the web.
    public static let form = ContentType("application", "x-www-form-urlencoded")
    /// `application/yaml`.
    public static let yaml = ContentType("application", "yaml")
    /// `application/protobuf`.
    public static let protobuf = ContentType("application", "protobuf")
    /// `application/octet-stream`.
    public static let bytes = ContentType("application", "octet-stream")
    /// `text/plain; charset=utf-8`.
    public static let text = ContentType(
        "text", "plain", parameters: [Parameter(name: "charset", value: "utf-8")])
}
