/// How the messages of one endpoint are written: in which forms they may be, and which of them a
/// request means by its content type.
struct MessageFormat<Reader: MessageReading, Writer: MessageWriting>: Sendable {
    private let reader: Reader
    private let writer: Writer
    private let kind: CallKind
    private let replyForms: [Writer.WrittenForm]
    /// The common content types as bytes, each with the forms that it means: those that carry the
    /// reply too, so that nothing is left to negotiate.
    private let spellings: [[UInt8]]
    private let spelled: [(read: Reader.ReadForm, written: Writer.WrittenForm)]

    init(reading reader: Reader, writing writer: Writer, kind: CallKind) {
        self.reader = reader
        self.writer = writer
        self.kind = kind
        let replyForms = writer.writtenForms
        self.replyForms = replyForms
        var spelled: [(contentType: String, read: Reader.ReadForm)] = []
        let readForms = reader.readForms
        for form in readForms {
            spelled += [
                (form.contentType.description, form), ("application/grpc+\(form.name)", form),
            ]
        }
        if let preferred = readForms.first {
            spelled += [("application/grpc", preferred), ("", preferred)]
        }
        let complete = spelled.compactMap { contentType, read in
            replyForms.first { $0.name == read.name }.map { (Array(contentType.utf8), read, $0) }
        }
        self.spellings = complete.map(\.0)
        self.spelled = complete.map { ($0.1, $0.2) }
    }

    /// Chooses how messages are read and how the answer is written.
    ///
    /// - Throws: ``MicroError`` unsupportedMediaType or notAcceptable.
    func choose(
        _ request: borrowing IncomingRequest
    ) throws -> (Reader.ReadForm, ReplyFormat<Writer>) {
        let isGRPC = request.isGRPC
        if isGRPC || !(request.hasAccept || kind.streamsReplies),
            let index = request.contentTypeIndex(in: spellings)
        {
            let (read, written) = spelled[index]
            return (
                read,
                ReplyFormat(writer, written, isGRPC: isGRPC, framing: .none, isOfRequest: true)
            )
        }
        let contentType = request.contentType
        let read = try reader.readForm(
            for: kind.streamsRequests && contentType == ContentType.jsonLines.description
                ? ContentType.json.description : contentType)
        let accept = isGRPC ? nil : request.accept
        let (written, framing) =
            kind.streamsReplies && !isGRPC
            ? try replyForms.negotiatedForStream(accept: accept, like: read.name)
            : (try replyForms.negotiated(accept: accept, like: read.name), .none)
        return (
            read,
            ReplyFormat(
                writer, written, isGRPC: isGRPC, framing: framing,
                isOfRequest: written.name == read.name)
        )
    }

    /// Reads the message, and chooses how the answer is written.
    ///
    /// - Throws: ``MicroError`` unsupportedMediaType, notAcceptable, or invalidArgument.
    func decode(
        _ request: borrowing IncomingRequest
    ) throws -> (Reader.Message, ReplyFormat<Writer>) {
        let (form, replyFormat) = try choose(request)
        return (try request.withBody { try reader.read($0, as: form) }, replyFormat)
    }

    /// Reads one message of a stream.
    func read(_ bytes: RawSpan, as form: Reader.ReadForm) throws -> Reader.Message {
        try reader.read(bytes, as: form)
    }
}

/// How the answer to one request is written.
struct ReplyFormat<Writer: MessageWriting>: Sendable {
    private let writer: Writer
    private let form: Writer.WrittenForm
    let isGRPC: Bool
    private let framing: ReplyHead.Framing
    /// Whether the request was written in the same way.
    private let isOfRequest: Bool

    init(
        _ writer: Writer, _ form: Writer.WrittenForm, isGRPC: Bool, framing: ReplyHead.Framing,
        isOfRequest: Bool
    ) {
        self.writer = writer
        self.form = form
        self.isGRPC = isGRPC
        self.framing = framing
        self.isOfRequest = isOfRequest
    }

    func write(_ reply: Writer.Message) throws -> [UInt8] { try writer.write(reply, as: form) }

    /// A gRPC answer has the content type of its request, unless the reply needs another form.
    func answer(_ reply: Writer.Message) throws -> OutgoingAnswer {
        var answer = OutgoingAnswer()
        answer.body = try write(reply)
        answer.contentType = contentType
        return answer
    }

    /// How a stream of replies begins.
    var head: ReplyHead { ReplyHead(framing: framing, contentType: contentType) }

    private var contentType: [UInt8] {
        if isGRPC {
            return isOfRequest ? [] : Array("application/grpc+\(form.name)".utf8)
        }
        switch framing {
        case .none: return Array(form.contentType.description.utf8)
        case .lines: return Array(ContentType.jsonLines.description.utf8)
        case .events: return Array(ContentType.events.description.utf8)
        }
    }
}

extension Array where Element: MessageForm {
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

extension OutgoingAnswer {
    /// The failure in the caller's own form: status and details for gRPC, problem+json for HTTP.
    init(_ error: MicroError, isGRPC: Bool) {
        self.init()
        code = error.code.rpc
        httpStatus = UInt32(clamping: error.code.http)
        message = error.detail
        if isGRPC {
            details = error.rpcStatusDetails
        } else {
            contentType = Array("application/problem+json".utf8)
            body = error.problemJSON
        }
    }

    /// Takes along what the handler gave beside its reply.
    mutating func take(_ context: Context) {
        let reply = context.scope.currentReply
        metadata = reply.metadata
        trailers = reply.trailers
        isCompressed = code == 0 && reply.compression.covers(body)
    }
}
