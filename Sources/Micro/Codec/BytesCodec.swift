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
        guard canCarry(T.self) else {
            throw MicroError.internalError("", "\(T.self) is not [UInt8]: use another codec")
        }
        // The same type, as was asked: a conditional cast would look for conversions.
        return unsafeBitCast(value, to: [UInt8].self)
    }

    /// A copy of the bytes; none for an empty message.
    ///
    /// - Throws: ``MicroError`` with `internal` for any other type.
    public func decode<T: Decodable>(_ type: T.Type, from bytes: RawSpan) throws -> T {
        guard canCarry(type) else {
            throw MicroError.internalError("", "\(T.self) is not [UInt8]: use another codec")
        }
        return unsafeBitCast([UInt8](copying: bytes), to: T.self)
    }
}
