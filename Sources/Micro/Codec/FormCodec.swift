internal import CMicroCore

/// `Codable` types as the fields of a web form: `application/x-www-form-urlencoded`, by the URL
/// standard of WHATWG.
///
/// A form is one object of strings, numbers, truth values and lists of those: a field that comes
/// more than once is a list. A list of one can't be told from a value, and is read as what the type
/// asks for. nil is left out. It is none of ``Codecs/standard``, which says why. Truth values are "true" and "false"; "1", "0", "on" and "off" are
/// read too.
public struct FormCodec: Codec {
    private let format: CoreFormat

    /// Makes the codec. Make one and keep it: it can be used by all threads.
    ///
    /// - Parameters:
    ///   - dates: How a `Date` is read and written. Default ISO 8601.
    ///   - userInfo: For the types that ask for it.
    public init(
        dates: DateCoding = .iso8601, userInfo: [CodingUserInfoKey: any Sendable] = [:]
    ) {
        format = CoreFormat(
            "form", MCORE_FORMAT_FORM, read: { mcore_form_read($0, $1, $2) }, dates: dates,
            userInfo: userInfo)
    }

    /// `application/x-www-form-urlencoded`.
    public var contentType: ContentType { .form }

    /// "form".
    public var name: String { "form" }

    /// A form is one message.
    public var isStreamable: Bool { false }

    /// Answered in the form that is preferred, JSON, unless the caller asks for a form.
    public var answersInKind: Bool { false }

    /// Every type that is `Codable` in at least one direction; which have no form shows itself when
    /// they are written.
    public func canCarry(_ type: Any.Type) -> Bool { isCodable(type) }

    /// The form of `value`.
    ///
    /// - Throws: ``MicroError`` with `internal` that names the field, for objects within the object
    ///   and what the type itself refuses.
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
