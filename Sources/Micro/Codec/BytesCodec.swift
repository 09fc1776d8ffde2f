/// `[UInt8]` as it is: `application/octet-stream`.
public struct BytesCodec: Codec {
    /// Makes the codec.
    public init() {}

    /// `application/octet-stream`.
    public var contentType: ContentType { .bytes }

    /// "bytes".
    public var name: String { "bytes" }

    /// Only `[UInt8]`.
    public func canCarry(_ type: Any.Type) -> Bool { type == [UInt8].self }

    /// The bytes themselves.
    ///
    /// - Throws: ``MicroError`` with `internal` for any other type.
    public func encode<T: Encodable>(_ value: T) throws -> [UInt8] {
        guard let bytes = value as? [UInt8], canCarry(T.self) else {
            throw MicroError.internalError("", "\(T.self) is not [UInt8]: use another codec")
        }
        return bytes
    }

    /// A copy of the bytes; none for an empty message.
    ///
    /// - Throws: ``MicroError`` with `internal` for any other type.
    public func decode<T: Decodable>(_ type: T.Type, from bytes: RawSpan) throws -> T {
        guard canCarry(type), let value = [UInt8](copying: bytes) as? T else {
            throw MicroError.internalError("", "\(T.self) is not [UInt8]: use another codec")
        }
        return value
    }
}
