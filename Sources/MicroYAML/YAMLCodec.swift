public import Micro

/// `Codable` types as YAML: `application/yaml` (RFC 9512), by the core schema of YAML 1.2.
///
/// Reading: one document of UTF-8. Words and numbers that are not quoted are what the core schema
/// says: `no`, `on`, `1:30` and `2026-11-27` are strings. Keys are texts, whatever they look like.
/// Refused, with the line and the column: anchors and aliases, which make small messages large;
/// keys that come twice; lists and objects as keys; tags other than those of the core schema and
/// `!!binary`; more than one document. `<<` is a key like any other.
///
/// Writing: blocks of two spaces, fields in the order in which the type writes them, dictionaries
/// sorted by their keys. A string that a reader of YAML, also of an old one, could take for
/// something else is quoted. Bytes are `!!binary` with base64.
public struct YAMLCodec: TreeCodec {
    /// How large a message may be that is read.
    public let maximumSize: Int
    /// How deep lists and objects may be nested.
    public let maximumDepth: Int
    /// How a `Date` is read and written.
    public let dates: DateCoding
    /// For the types that ask for it.
    public let userInfo: [CodingUserInfoKey: any Sendable]

    /// Makes the codec.
    ///
    /// - Parameters:
    ///   - maximumSize: How large a message may be that is read, in bytes. Default 1 MiB.
    ///   - maximumDepth: How deep lists and objects may be nested, 1 to 512. Default 64.
    ///   - dates: How a `Date` is read and written. Default ISO 8601, as people write it.
    ///   - userInfo: For the types that ask for it.
    public init(
        maximumSize: Int = 1 << 20, maximumDepth: Int = 64, dates: DateCoding = .iso8601,
        userInfo: [CodingUserInfoKey: any Sendable] = [:]
    ) {
        self.maximumSize = maximumSize
        self.maximumDepth = min(max(maximumDepth, 1), 512)
        self.dates = dates
        self.userInfo = userInfo
    }

    /// `application/yaml`.
    public var contentType: ContentType { .yaml }

    /// "yaml".
    public var name: String { "yaml" }

    /// Writes what the one document in `bytes` says to `value`.
    public func read(_ bytes: RawSpan, into value: inout DirectWriter) throws {
        guard !bytes.isEmpty else { throw MicroError.invalid("", "the message is empty") }
        guard bytes.byteCount <= maximumSize else {
            throw MicroError.invalid(
                "", "\(bytes.byteCount) bytes of YAML, \(maximumSize) are allowed")
        }
        try bytes.withUnsafeBytes { bytes in
            var reader = YAMLReader(try YAMLEvents(bytes), depthMax: maximumDepth)
            try reader.read(into: &value)
        }
    }

    /// The YAML of `value`.
    public func write(_ value: borrowing DirectReader) throws -> [UInt8] {
        var writer = YAMLWriter()
        try writer.write(value)
        return writer.bytes
    }
}
