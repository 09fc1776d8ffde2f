internal import CMicroCore

/// A codec that is only a parser and a printer: all about `Codable` types is done here.
///
///     struct IniCodec: TreeCodec {
///         let contentType = ContentType("application/ini")!
///         let name = "ini"
///         func read(_ bytes: RawSpan, into value: inout DirectWriter) throws { … }
///         func write(_ value: borrowing DirectReader) throws -> [UInt8] { … }
///     }
///
/// A parser writes what it finds, and a printer reads what there is. In between stands a tree of
/// values, which takes 16 bytes for each and its texts.
public protocol TreeCodec: Codec {
    /// How deep lists and objects may be nested, 1 to 512, read and written. Default 64.
    var maximumDepth: Int { get }

    /// How a `Date` is read and written. Default: as it codes itself, in seconds since 2001.
    var dates: DateCoding { get }

    /// For the types that ask for it. Default: empty.
    var userInfo: [CodingUserInfoKey: any Sendable] { get }

    /// Writes what is in `bytes`, which are not empty, to `value`.
    ///
    /// - Throws: ``MicroError`` with `invalidArgument`, which names the place; what `value` throws.
    func read(_ bytes: RawSpan, into value: inout DirectWriter) throws

    /// The bytes of `value`.
    ///
    /// - Throws: ``MicroError`` with `internal` when it has no form in this codec.
    func write(_ value: borrowing DirectReader) throws -> [UInt8]
}

extension TreeCodec {
    /// 64.
    public var maximumDepth: Int { 64 }

    /// As it codes itself.
    public var dates: DateCoding { .deferredToDate }

    /// Empty.
    public var userInfo: [CodingUserInfoKey: any Sendable] { [:] }

    /// Every type that is `Codable` in at least one direction.
    public func canCarry(_ type: Any.Type) -> Bool { isCodable(type) }

    /// The bytes of `value`.
    ///
    /// - Throws: ``MicroError`` with `internal` that names the field, for what the type or the
    ///   codec refuses.
    public func encode<T: Encodable>(_ value: T) throws -> [UInt8] {
        do {
            let traits = traits(isIncoming: false)
            return try WrittenMessage.with(
                traits, write: { try $0.encodeMessage(value, at: $1) }
            ) { finished in
                try ReadDocument.with(traits, lent: finished.tree) {
                    try write(DirectReader(.passUnretained($0), 0))
                }
            }
        } catch let error as DecodingError {
            // The printer asked for something else than there is.
            throw MicroError.internalError("", MicroError(error, id: "").detail)
        } catch {
            throw MicroError(error, id: "")
        }
    }

    /// The value in `bytes`. ``Empty`` is also read from no bytes at all.
    ///
    /// - Throws: ``MicroError`` with `invalidArgument`: what the parser says, or the path of the
    ///   field that doesn't fit, also in `metadata["field"]`.
    public func decode<T: Decodable>(_ type: T.Type, from bytes: RawSpan) throws -> T {
        if bytes.isEmpty { return try Empty.decode(type, as: name) }
        let traits = traits(isIncoming: true)
        do {
            return try bytes.withUnsafeBytes { bytes in
                try WrittenMessage.with(traits) { message, place in
                    var writer = DirectWriter(LentPlace(message, place))
                    try read(bytes.bytes, into: &writer)
                } _: { finished in
                    try ReadDocument.with(traits, lent: finished.tree) {
                        try $0.decodeMessage(type)
                    }
                }
            }
        } catch {
            throw MicroError(error, id: "")
        }
    }

    private func traits(isIncoming: Bool) -> CodingTraits {
        CodingTraits(
            MCORE_FORMAT_DOCUMENT, depthMax: UInt32(min(max(maximumDepth, 1), 512)), dates: dates,
            userInfo: userInfo, isIncoming: isIncoming)
    }
}

extension FinishedMessage {
    fileprivate var tree: OpaquePointer {
        get throws {
            guard let document else { throw MicroError.internalError("", "there is no tree") }
            return document
        }
    }
}
