/// The codecs that a service or a client speaks, in the order in which it prefers them.
///
/// An immutable value. Of two codecs with the same name the first stays.
public struct Codecs: Sendable {
    /// An object: it is passed from hand to hand, and has many fields.
    @usableFromInline final class Entry: MessageForm {
        @usableFromInline let codec: any Codec
        @usableFromInline let name: String
        @usableFromInline let contentType: ContentType
        let text: String
        let grpc: String
        let isBytes: Bool
        let isStreamable: Bool
        let answersInKind: Bool
        /// Whether messages of bytes are those bytes: it needs not be asked.
        @usableFromInline let isUnchanged: Bool

        init(_ codec: any Codec) {
            self.codec = codec
            name = codec.name
            contentType = codec.contentType
            text = codec.contentType.description
            grpc = "application/grpc+\(codec.name)"
            isBytes = codec.contentType == .bytes
            isStreamable = codec.isStreamable
            answersInKind = codec.answersInKind
            isUnchanged = codec is BytesCodec
        }
    }

    private let entries: [Entry]

    /// JSON, MessagePack, CBOR, bytes, text.
    ///
    /// Not ``FormCodec``: any page of the web can send a form with a user's cookies, but JSON only
    /// where the service allows it. Who wants forms adds it:
    /// `Codecs(Codecs.standard + [FormCodec()])`.
    public static let standard: [any Codec] = [
        JSONCodec(), MessagePackCodec(), CBORCodec(), BytesCodec(), TextCodec(),
    ]

    /// Makes a list of codecs.
    ///
    /// - Parameter codecs: The preferred first. Default: ``standard``.
    public init(_ codecs: [any Codec] = Codecs.standard) {
        var names: Set<String> = []
        entries = codecs.filter { names.insert($0.name).inserted }.map(Entry.init)
    }

    /// The names in order of preference, for the register: ["json", "msgpack", "bytes"].
    public var names: [String] { entries.map(\.name) }

    /// The codec of this name; nil when there is none.
    public subscript(name: String) -> (any Codec)? { entries.first { $0.name == name }?.codec }

    /// The codecs that can carry `type`, the preferred first.
    ///
    /// `[UInt8]` goes as bytes before anything else, all other types by the order of the list.
    public func carrying(_ type: Any.Type) -> [any Codec] { entries(for: type).map(\.codec) }

    /// The codec to be used for `type` where nobody says otherwise; nil when none can carry it.
    public func preferred(for type: Any.Type) -> (any Codec)? { preferredEntry(for: type)?.codec }

    /// The codec for a message of this content type.
    ///
    /// - Parameters:
    ///   - contentType: The header. `application/grpc+NAME` means the codec of that name,
    ///     `application/grpc`, nil and "" mean the preferred one, and `application/vnd.x+json`
    ///     means `application/json`. There is no guessing beyond that.
    ///   - type: The type of the message.
    /// - Throws: ``MicroError`` with `unsupportedMediaType` that lists what is accepted, also in
    ///   `metadata["accepted"]`.
    public func codec(
        for contentType: String?, carrying type: Any.Type
    ) throws(MicroError) -> any Codec {
        try entry(for: contentType ?? "", carrying: type).codec
    }

    @usableFromInline
    func entry(for sent: String, carrying type: Any.Type) throws(MicroError) -> Entry {
        if sent.isEmpty || sent == "application/grpc" {
            if let entry = preferredEntry(for: type) { return entry }
        } else if let exact = entries.first(where: { $0.text == sent || $0.grpc == sent }),
            exact.codec.canCarry(type)
        {
            return exact
        }
        let carrying = entries(for: type)
        if let entry = carrying.meant(by: sent) { return entry }
        guard !carrying.isEmpty else { throw cannotCarry(type) }
        throw carrying.unsupported(sent, carrying: type)
    }

    /// The codec for a reply.
    ///
    /// - Parameters:
    ///   - accept: The Accept header; nil and "" accept everything.
    ///   - request: The codec of the request, which is used when the caller likes nothing better.
    ///   - type: The type of the reply.
    /// - Throws: ``MicroError`` with `notAcceptable` that lists what can be had, also in
    ///   `metadata["available"]`.
    public func negotiate(
        accept: String?, request: (any Codec)?, carrying type: Any.Type
    ) throws(MicroError) -> any Codec {
        try entries(for: type).negotiated(accept: accept, like: request?.name).codec
    }

    private func preferredEntry(for type: Any.Type) -> Entry? {
        if type == [UInt8].self,
            let bytes = entries.first(where: { $0.isBytes && $0.codec.canCarry(type) })
        {
            return bytes
        }
        return entries.first { $0.codec.canCarry(type) }
    }

    @usableFromInline
    func entries(for type: Any.Type) -> [Entry] {
        var found = entries.filter { $0.codec.canCarry(type) }
        if type == [UInt8].self, let index = found.firstIndex(where: \.isBytes) {
            found.insert(found.remove(at: index), at: 0)
        }
        return found
    }

    private func cannotCarry(_ type: Any.Type) -> MicroError {
        .unsupportedMediaType(
            "", "no codec of \(names.joined(separator: ", ")) can carry a \(type)")
    }
}
