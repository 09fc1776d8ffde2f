/// The codecs that a service or a client speaks, in the order in which it prefers them.
///
/// An immutable value. Of two codecs with the same name the first stays.
public struct Codecs: Sendable {
    fileprivate struct Entry: Sendable {
        let codec: any Codec
        let name: String
        let contentType: ContentType
        let text: String
        let grpc: String

        init(_ codec: any Codec) {
            self.codec = codec
            name = codec.name
            contentType = codec.contentType
            text = codec.contentType.description
            grpc = "application/grpc+\(codec.name)"
        }
    }

    private let entries: [Entry]

    /// Makes a list of codecs.
    ///
    /// - Parameter codecs: The preferred first. Default: JSON, bytes, text.
    public init(_ codecs: [any Codec] = [JSONCodec(), BytesCodec(), TextCodec()]) {
        var names: Set<String> = []
        entries = codecs.filter { names.insert($0.name).inserted }.map(Entry.init)
    }

    /// The names in order of preference, for the register: ["json", "bytes", "text"].
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
        let sent = contentType ?? ""
        let entry: Entry?
        if sent.isEmpty || sent == "application/grpc" {
            entry = preferredEntry(for: type)
        } else if let exact = entries.first(where: { $0.text == sent || $0.grpc == sent }) {
            entry = exact
        } else {
            entry = find(sent, carrying: type)
        }
        guard let entry, entry.codec.canCarry(type) else {
            throw unsupported(sent, carrying: type)
        }
        return entry.codec
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
        var candidates = entries(for: type)
        if let name = request?.name, let index = candidates.firstIndex(where: { $0.name == name }) {
            candidates.insert(candidates.remove(at: index), at: 0)
        }
        guard let accept, !accept.isEmpty else {
            guard let first = candidates.first else { throw unacceptable(nil, candidates) }
            return first.codec
        }
        guard let header = AcceptHeader(accept) else { throw unacceptable(accept, candidates) }
        if header.ranges.isEmpty, let first = candidates.first { return first.codec }
        var best: (codec: any Codec, weight: Int)?
        for candidate in candidates {
            let weight = header.weight(of: candidate.contentType)
            if weight > best?.weight ?? 0 { best = (candidate.codec, weight) }
        }
        guard let best else { throw unacceptable(accept, candidates) }
        return best.codec
    }

    private func preferredEntry(for type: Any.Type) -> Entry? {
        if type == [UInt8].self,
            let bytes = entries.first(where: { $0.isBytes && $0.codec.canCarry(type) })
        {
            return bytes
        }
        return entries.first { $0.codec.canCarry(type) }
    }

    private func entries(for type: Any.Type) -> [Entry] {
        var found = entries.filter { $0.codec.canCarry(type) }
        if type == [UInt8].self, let index = found.firstIndex(where: \.isBytes) {
            found.insert(found.remove(at: index), at: 0)
        }
        return found
    }

    private func find(_ text: String, carrying type: Any.Type) -> Entry? {
        guard let parsed = ContentType(text) else { return nil }
        if let charset = parsed[parameter: "charset"], !charset.isUTF8Charset { return nil }
        if parsed.type == "application" {
            if parsed.subtype == "grpc" { return preferredEntry(for: type) }
            if parsed.subtype.hasPrefix("grpc+") {
                return entries.first { $0.name == parsed.subtype.dropFirst(5) }
            }
        }
        if let entry = entries.first(where: { $0.isNamed(parsed.type, parsed.subtype) }) {
            return entry
        }
        return parsed.suffix.flatMap { suffix in
            entries.first { $0.isNamed(parsed.type, suffix) }
        }
    }

    private func unsupported(_ sent: String, carrying type: Any.Type) -> MicroError {
        let list = entries(for: type).map(\.contentType.essence).joined(separator: ", ")
        guard !list.isEmpty else { return cannotCarry(type) }
        return .unsupportedMediaType(
            "", "the content type \"\(sent.shortened(to: 100))\" is not accepted: send \(list)",
            reason: "UNSUPPORTED_MEDIA_TYPE", metadata: ["accepted": list])
    }

    private func unacceptable(_ accept: String?, _ candidates: [Entry]) -> MicroError {
        let list = candidates.map(\.contentType.essence).joined(separator: ", ")
        guard !list.isEmpty, let accept else {
            return .notAcceptable("", "no codec of the service can carry the reply")
        }
        return .notAcceptable(
            "", "nothing in \"\(accept.shortened(to: 100))\" can be sent: accept \(list)",
            reason: "NOT_ACCEPTABLE", metadata: ["available": list])
    }

    private func cannotCarry(_ type: Any.Type) -> MicroError {
        .unsupportedMediaType(
            "", "no codec of \(names.joined(separator: ", ")) can carry a \(type)")
    }
}

extension Codecs.Entry {
    fileprivate var isBytes: Bool { contentType == .bytes }

    fileprivate func isNamed(_ type: String, _ subtype: String) -> Bool {
        contentType.type == type && contentType.subtype == subtype
    }
}
