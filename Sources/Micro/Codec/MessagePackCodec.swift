internal import CMicroCore

/// `Codable` types as MessagePack: `application/msgpack`.
///
/// Objects are maps with texts as keys; integer keys are read, too. `[UInt8]` and `Data` are bytes.
/// Every value has its shortest form. A `Date` is also read from a timestamp (extension type -1);
/// otherwise it is what ``DateCoding`` says.
public struct MessagePackCodec: Codec {
    private let format: CoreFormat

    /// Makes the codec. Make one and keep it: it can be used by all threads. For the parameters see
    /// ``JSONCodec``.
    public init(
        maximumDepth: Int = 64, refusesDuplicates: Bool = false, sortsKeys: Bool = false,
        dates: DateCoding = .deferredToDate, userInfo: [CodingUserInfoKey: any Sendable] = [:]
    ) {
        format = CoreFormat(
            "MessagePack", MCORE_FORMAT_MSGPACK, read: { mcore_msgpack_read($0, $1, $2) },
            depthMax: maximumDepth, refusesDuplicates: refusesDuplicates, isSorted: sortsKeys,
            dates: dates, userInfo: userInfo)
    }

    /// `application/msgpack`.
    public var contentType: ContentType { .messagePack }

    /// "msgpack".
    public var name: String { "msgpack" }

    /// Every type that is `Codable` in at least one direction.
    public func canCarry(_ type: Any.Type) -> Bool { isCodable(type) }

    /// The MessagePack of `value`.
    ///
    /// - Throws: ``MicroError`` with `internal` that names the field, for what the type refuses.
    public func encode<T: Encodable>(_ value: T) throws -> [UInt8] { try format.encode(value) }

    /// As ``encode(_:)``.
    public func encode<T: Encodable>(_ value: T, into message: inout MessageWriter) throws {
        try format.encode(value, into: &message)
    }

    /// The value in `bytes`. ``Empty`` is also read from no bytes at all.
    ///
    /// - Throws: ``MicroError`` with `invalidArgument`: the offset of what is wrong, or the path of
    ///   the field that doesn't fit, also in `metadata["field"]`.
    public func decode<T: Decodable>(_ type: T.Type, from bytes: RawSpan) throws -> T {
        try format.decode(type, from: bytes)
    }
}
