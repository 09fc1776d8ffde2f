internal import CMicroCore

/// `Codable` types as JSON: `application/json`, by RFC 8259.
///
/// Reading is strict: UTF-8 without a byte order mark, no trailing commas, a bounded depth; fields
/// that the type doesn't know are skipped. Numbers are exact: one that doesn't fit its type is an
/// error. Of a field that is there twice the last one counts, unless that is refused.
///
/// Writing is deterministic: fields in the order in which the type writes them, dictionaries sorted
/// by their keys, numbers as short as they can be (RFC 8785), slashes not escaped.
///
/// `Date` is what ``DateCoding`` says; `Data` travels in base64, `URL` as a string, `Decimal` as a
/// number.
public struct JSONCodec: Codec {
    private let format: CoreFormat

    /// Makes the codec. Make one and keep it: it can be used by all threads.
    ///
    /// - Parameters:
    ///   - maximumDepth: How deep lists and objects may be nested, 1 to 512. Default 64.
    ///   - refusesDuplicates: Whether an object that has a field twice is an error. Default false.
    ///   - sortsKeys: Whether the fields of all objects are sorted. Default false.
    ///   - dates: How a `Date` is read and written. Default: as it codes itself, in seconds since
    ///     2001.
    ///   - userInfo: For the types that ask for it.
    public init(
        maximumDepth: Int = 64, refusesDuplicates: Bool = false, sortsKeys: Bool = false,
        dates: DateCoding = .deferredToDate, userInfo: [CodingUserInfoKey: any Sendable] = [:]
    ) {
        format = CoreFormat(
            "JSON", MCORE_FORMAT_JSON, read: { mcore_json_read($0, $1, $2) },
            depthMax: maximumDepth, refusesDuplicates: refusesDuplicates, isSorted: sortsKeys,
            dates: dates, userInfo: userInfo)
    }

    /// With the choices that are the default.
    static let standard = JSONCodec()

    /// `application/json`.
    public var contentType: ContentType { .json }

    /// "json".
    public var name: String { "json" }

    /// Every type that is `Codable` in at least one direction.
    public func canCarry(_ type: Any.Type) -> Bool { isCodable(type) }

    /// The JSON of `value`.
    ///
    /// - Throws: ``MicroError`` with `internal` that names the field, for numbers that are not
    ///   finite and what the type itself refuses.
    public func encode<T: Encodable>(_ value: T) throws -> [UInt8] { try format.encode(value) }

    /// As ``encode(_:)``.
    public func encode<T: Encodable>(_ value: T, into message: inout MessageWriter) throws {
        try format.encode(value, into: &message)
    }

    /// The value in `bytes`. ``Empty`` is also read from no bytes at all.
    ///
    /// - Throws: ``MicroError`` with `invalidArgument`: the line and the column of a syntax error,
    ///   or the path of the field that doesn't fit, also in `metadata["field"]`.
    public func decode<T: Decodable>(_ type: T.Type, from bytes: RawSpan) throws -> T {
        try format.decode(type, from: bytes)
    }

    /// The JSON of what `body` writes.
    func encode(_ body: (inout DirectWriter) throws -> Void) throws -> [UInt8] {
        try format.encode(body)
    }
}
