/// Turns values into bytes of one content type and back.
///
/// An implementation is called from any thread, and gets whatever a remote peer sent: it never
/// traps, and refuses with an error that names the field or the place. The error's
/// ``MicroError/id`` is empty: whoever calls the codec knows where, and says so with
/// ``MicroError/init(_:id:)``.
public protocol Codec: Sendable {
    /// The content type that it writes, "application/json". Its parameters are not compared.
    var contentType: ContentType { get }

    /// Its short name, "json": the suffix of `application/grpc+json`, and the name in the register.
    var name: String { get }

    /// See ``MessageForm/isStreamable``. Default true.
    var isStreamable: Bool { get }

    /// See ``MessageForm/answersInKind``. Default true.
    var answersInKind: Bool { get }

    /// Whether values of this type can be encoded and decoded. Fast: it is asked for each request.
    func canCarry(_ type: Any.Type) -> Bool

    /// The bytes of `value`.
    ///
    /// - Throws: ``MicroError`` with `internal` when the value has no form in this codec.
    func encode<T: Encodable>(_ value: T) throws -> [UInt8]

    /// Adds the bytes of `value` to a message. Default: as ``encode(_:)``.
    ///
    /// - Throws: As ``encode(_:)``; `message` may have a part of it then.
    func encode<T: Encodable>(_ value: T, into message: inout MessageWriter) throws

    /// The value in `bytes`, which are borrowed: nothing of them is kept.
    ///
    /// - Throws: ``MicroError`` with `invalidArgument`, which names the field or the place in
    ///   ``MicroError/detail`` and, where there is one, the field in `metadata["field"]`. A client
    ///   that decodes a reply reports it as the service's fault.
    func decode<T: Decodable>(_ type: T.Type, from bytes: RawSpan) throws -> T
}

extension Codec {
    /// Most codecs are for that.
    public var isStreamable: Bool { true }

    /// Most codecs are for that.
    public var answersInKind: Bool { true }

    /// As ``encode(_:)``.
    public func encode<T: Encodable>(_ value: T, into message: inout MessageWriter) throws {
        message.append(try encode(value))
    }
}

/// Whether a type is `Codable` in at least one direction.
func isCodable(_ type: Any.Type) -> Bool {
    type is any Decodable.Type || type is any Encodable.Type
}
