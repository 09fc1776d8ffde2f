/// How the messages of one endpoint are written: which codecs carry its types, and which of them a
/// request means by its content type.
struct MessageFormat<Request: Decodable & Sendable, Reply: Encodable & Sendable>: Sendable {
    private let codecs: Codecs
    /// The common content types as bytes, each with the codec that it means: one that carries the
    /// reply too, so that nothing is left to negotiate.
    private let spellings: [[UInt8]]
    private let spelled: [any Codec]

    init(codecs: Codecs) {
        self.codecs = codecs
        var spelled: [(contentType: String, codec: any Codec)] = []
        for codec in codecs.carrying(Request.self) {
            spelled += [
                (codec.contentType.description, codec), ("application/grpc+\(codec.name)", codec),
            ]
        }
        if let preferred = codecs.preferred(for: Request.self) {
            spelled += [("application/grpc", preferred), ("", preferred)]
        }
        spelled = spelled.filter { $0.codec.canCarry(Reply.self) }
        self.spellings = spelled.map { Array($0.contentType.utf8) }
        self.spelled = spelled.map(\.codec)
    }

    /// Reads the message and chooses how the answer is written.
    ///
    /// - Throws: ``MicroError`` unsupportedMediaType, notAcceptable, or invalidArgument.
    func decode(_ request: borrowing IncomingRequest) throws -> (Request, ReplyFormat) {
        let isGRPC = request.isGRPC
        let codec: any Codec
        let replyCodec: any Codec
        if isGRPC || !request.hasAccept, let index = request.contentTypeIndex(in: spellings) {
            codec = spelled[index]
            replyCodec = codec
        } else {
            codec = try codecs.codec(for: request.contentType, carrying: Request.self)
            replyCodec = try codecs.negotiate(
                accept: isGRPC ? nil : request.accept, request: codec, carrying: Reply.self)
        }
        return (
            try request.withBody { try codec.decode(Request.self, from: $0) },
            ReplyFormat(
                codec: replyCodec, isGRPC: isGRPC, isOfRequest: replyCodec.name == codec.name)
        )
    }
}

/// How the answer to one request is written.
struct ReplyFormat: Sendable {
    let codec: any Codec
    let isGRPC: Bool
    /// Whether the request was written in the same way.
    let isOfRequest: Bool

    /// A gRPC answer has the content type of its request, unless the reply needs another codec.
    func encode<Reply: Encodable>(_ reply: Reply) throws -> OutgoingAnswer {
        var answer = OutgoingAnswer()
        answer.body = try codec.encode(reply)
        if !isGRPC {
            answer.contentType = Array(codec.contentType.description.utf8)
        } else if !isOfRequest {
            answer.contentType = Array("application/grpc+\(codec.name)".utf8)
        }
        return answer
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
}
