/// How the messages of one endpoint are written: in which forms they may be, and which of them a
/// request means by its content type.
///
/// Forms are known by their place in a list, so that nothing here depends on the types of messages:
/// a call is served without generic code, but for the few lines that ``TypedFormat`` has.
@usableFromInline
struct MessageFormat: Sendable {
    private let kind: CallKind
    private let replyForms: [FormTraits]
    private let readForms: [FormTraits]
    /// The place of the form that a content type means.
    private let findReadForm: @Sendable (String) throws -> Int
    /// The common content types as bytes, each with the forms that it means: those that carry the
    /// reply too, so that nothing is left to negotiate.
    private let spellings: [[UInt8]]
    private let spelled: [(grpc: MessageChoice, plain: MessageChoice)]

    @usableFromInline
    init(
        _ kind: CallKind, reading readForms: [FormTraits], writing replyForms: [FormTraits],
        findReadForm: @escaping @Sendable (String) throws -> Int
    ) {
        self.kind = kind
        self.readForms = readForms
        self.replyForms = replyForms
        self.findReadForm = findReadForm
        var spelled: [(contentType: String, read: Int)] = []
        for (index, form) in readForms.enumerated() {
            spelled += [
                (form.contentType.description, index), ("application/grpc+\(form.name)", index),
            ]
        }
        if !readForms.isEmpty { spelled += [("application/grpc", 0), ("", 0)] }
        let complete = spelled.compactMap { contentType, read in
            replyForms.firstIndex { $0.name == readForms[read].name && $0.answersInKind }
                .map { (contentType: Array(contentType.utf8), read: read, written: $0) }
        }
        func choice(_ read: Int, _ written: Int, isGRPC: Bool) -> MessageChoice {
            MessageChoice(
                readForm: read,
                reply: ReplyFormat(
                    written, replyForms[written], isGRPC: isGRPC, isOfRequest: true))
        }
        self.spellings = complete.map(\.contentType)
        self.spelled = complete.map {
            (choice($0.read, $0.written, isGRPC: true), choice($0.read, $0.written, isGRPC: false))
        }
    }

    /// What a request may be, the preferred first.
    var readNames: [String] { readForms.map(\.name) }

    /// Chooses how messages are read and how the answer is written.
    ///
    /// - Throws: ``MicroError`` unsupportedMediaType or notAcceptable.
    func choose(_ request: borrowing IncomingRequest) throws -> MessageChoice {
        let isGRPC = request.isGRPC
        if isGRPC || !(request.hasAccept || kind.streamsReplies),
            let index = request.contentTypeIndex(in: spellings)
        {
            return isGRPC ? spelled[index].grpc : spelled[index].plain
        }
        let contentType = request.contentType
        let read = try findReadForm(
            kind.streamsRequests && contentType == ContentType.jsonLines.description
                ? ContentType.json.description : contentType)
        let name = readForms[read].name
        let accept = isGRPC ? nil : request.accept
        let (written, framing) =
            kind.streamsReplies && !isGRPC
            ? try replyForms.negotiatedForStream(accept: accept, like: name)
            : (try replyForms.negotiated(accept: accept, like: name), .none)
        return MessageChoice(
            readForm: read,
            reply: ReplyFormat(
                replyForms.firstIndex { $0.name == written.name } ?? 0, written, isGRPC: isGRPC,
                framing: framing, isOfRequest: written.name == name))
    }
}

/// How one request is read and its answer written.
struct MessageChoice: Sendable {
    /// The place of the form.
    var readForm: Int
    var reply: ReplyFormat

    /// Of a request that was refused before it came to that.
    static let none = MessageChoice(readForm: 0, reply: ReplyFormat())
}

/// How the answer to one request is written.
struct ReplyFormat: Sendable {
    /// The place of the form.
    let form: Int
    /// Of the answer; empty: that of its request, as gRPC has it unless the reply needs another.
    let contentType: [UInt8]
    private let framing: ReplyHead.Framing

    /// - Parameter isOfRequest: Whether the request was written in the same way.
    init(
        _ index: Int, _ form: FormTraits, isGRPC: Bool, framing: ReplyHead.Framing = .none,
        isOfRequest: Bool
    ) {
        self.form = index
        self.framing = framing
        if isGRPC {
            contentType = isOfRequest ? [] : form.grpcContentType
        } else {
            switch framing {
            case .none: contentType = form.plainContentType
            case .lines: contentType = Array(ContentType.jsonLines.description.utf8)
            case .events: contentType = Array(ContentType.events.description.utf8)
            }
        }
    }

    fileprivate init() {
        form = 0
        contentType = []
        framing = .none
    }

    /// How a stream of replies begins.
    var head: ReplyHead { ReplyHead(framing: framing, contentType: contentType) }
}

/// What there is to know of a form without its type.
@usableFromInline
struct FormTraits: MessageForm {
    @usableFromInline let name: String
    @usableFromInline let contentType: ContentType
    @usableFromInline let isStreamable: Bool
    @usableFromInline let answersInKind: Bool
    let plainContentType: [UInt8]
    let grpcContentType: [UInt8]

    @usableFromInline
    init(_ form: some MessageForm) {
        name = form.name
        contentType = form.contentType
        isStreamable = form.isStreamable
        answersInKind = form.answersInKind
        plainContentType = Array(form.contentType.description.utf8)
        grpcContentType = Array("application/grpc+\(form.name)".utf8)
    }
}

/// The forms of an endpoint's messages with their types. What is generic about serving a call is
/// here and in the closures that call it, and is compiled for each endpoint's own types.
@usableFromInline
struct TypedFormat<Reader: MessageReading, Writer: MessageWriting>: Sendable {
    @usableFromInline let reader: Reader
    @usableFromInline let writer: Writer
    @usableFromInline let readForms: [Reader.ReadForm]
    @usableFromInline let writtenForms: [Writer.WrittenForm]

    @inlinable
    init(reading reader: Reader, writing writer: Writer) {
        self.reader = reader
        self.writer = writer
        readForms = reader.readForms
        writtenForms = writer.writtenForms
    }

    @inlinable
    func format(of kind: CallKind) -> MessageFormat {
        MessageFormat(
            kind, reading: readForms.map { FormTraits($0) },
            writing: writtenForms.map { FormTraits($0) }
        ) { [reader, readForms] contentType in
            let form = try reader.readForm(for: contentType)
            guard let index = readForms.firstIndex(where: { $0.name == form.name }) else {
                throw MicroError.internalError(
                    "", "\"\(form.name)\" is not among the forms that can be read")
            }
            return index
        }
    }

    @inlinable
    func read(_ bytes: RawSpan, as form: Int) throws -> Reader.Message {
        try reader.read(bytes, as: readForms[form])
    }

    @inlinable
    func write(_ reply: Writer.Message, as form: Int) throws -> [UInt8] {
        try writer.write(reply, as: writtenForms[form])
    }

    @inlinable
    func write(
        _ reply: Writer.Message, as form: Int, into message: inout MessageWriter
    ) throws {
        try writer.write(reply, as: writtenForms[form], into: &message)
    }
}

extension [FormTraits] {
    /// The form for a stream of replies over plain HTTP, and how they are kept apart: JSON as
    /// server-sent events when that is asked for by name, and otherwise a line for each.
    fileprivate func negotiatedForStream(
        accept: String?, like name: String?
    ) throws(MicroError) -> (Element, ReplyHead.Framing) {
        let streamable = filter(\.isStreamable)
        if let json = streamable.first(where: { $0.name == "json" }),
            let header = AcceptHeader(accept ?? "")
        {
            let events = header.weight(naming: .events)
            let lines = header.weight(naming: .jsonLines)
            if events > 0, events >= lines { return (json, .events) }
            if lines > 0 { return (json, .lines) }
        }
        let form = try streamable.negotiated(accept: accept, like: name)
        return (form, form.name == "json" ? .lines : .none)
    }
}
