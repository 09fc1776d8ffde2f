extension ServerCall {
    /// Answers with what a handler has given. On the call's loop.
    func answer(_ message: [UInt8], _ reply: ReplyFormat, _ scope: CallScope) {
        guard scope.hasReply else {
            return answer(
                message, contentType: reply.contentType,
                scope.origin.compression.flags(for: message))
        }
        var answer = OutgoingAnswer()
        answer.body = message
        answer.contentType = reply.contentType
        answer.take(scope)
        self.answer(answer)
    }

    /// Answers with a failure in the caller's own form. On the call's loop.
    func answer(_ failure: MicroError, isGRPC: Bool, _ scope: CallScope) {
        var answer = OutgoingAnswer(failure, isGRPC: isGRPC)
        answer.take(scope)
        self.answer(answer)
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
    mutating func take(_ scope: CallScope) {
        var compression = scope.origin.compression
        if let reply = scope.replyGiven {
            metadata = reply.metadata
            trailers = reply.trailers
            compression = reply.compression
        }
        flags = code == 0 ? compression.flags(for: body) : .plain
    }
}
