/// `String` as UTF-8: `text/plain; charset=utf-8`.
public struct TextCodec: Codec {
    /// Makes the codec.
    public init() {}

    /// `text/plain; charset=utf-8`.
    public var contentType: ContentType { .text }

    /// "text".
    public var name: String { "text" }

    /// Only `String`.
    public func canCarry(_ type: Any.Type) -> Bool { type == String.self }

    /// The text as UTF-8.
    ///
    /// - Throws: ``MicroError`` with `internal` for any other type.
    public func encode<T: Encodable>(_ value: T) throws -> [UInt8] {
        guard let text = value as? String else {
            throw MicroError.internalError("", "\(T.self) is not String: use another codec")
        }
        return Array(text.utf8)
    }

    /// The text; "" for an empty message.
    ///
    /// - Throws: ``MicroError`` with `invalidArgument` for what is not UTF-8, `internal` for any
    ///   other type.
    public func decode<T: Decodable>(_ type: T.Type, from bytes: RawSpan) throws -> T {
        guard canCarry(type) else {
            throw MicroError.internalError("", "\(T.self) is not String: use another codec")
        }
        guard let value = String(validating: [UInt8](copying: bytes), as: UTF8.self) as? T else {
            throw MicroError.invalid("", "the message is not valid UTF-8")
        }
        return value
    }
}
