internal import Logging

extension Client {
    /// What a node answered, or why none did.
    static func failure(
        _ outcome: CallOutcome, _ report: CallReport, _ request: ClientRequest
    ) -> MicroError {
        let id = "\(request.service)/\(request.endpoint)"
        var failure: MicroError
        if outcome.transport == .ok {
            // The service's own error: nothing is added to it.
            failure = MicroError(
                rpcCode: outcome.code, message: outcome.message, details: outcome.details)
            if failure.id.isEmpty { failure.id = id }
        } else {
            failure = MicroError(id, MicroError.Code(rpc: outcome.code), outcome.message)
            if let refusal = outcome.refusal { failure.reason = refusal.reason }
            if outcome.retryAfter > .zero {
                failure.metadata["retry-after-ms"] =
                    "\(outcome.retryAfter.clampedMilliseconds)"
            }
            if !report.node.isEmpty { failure.metadata["node"] = report.node }
        }
        failure.wasWritten = outcome.wasWritten
        return failure
    }

    static func failure(_ error: any Error, _ request: ClientRequest) -> MicroError {
        MicroError(error, id: "\(request.service)/\(request.endpoint)")
    }

    /// What a call throws, logged.
    func reported(_ error: any Error, _ request: ClientRequest) -> MicroError {
        let failure = Client.failure(error, request)
        logger.debug(
            "call failed",
            metadata: [
                "service": "\(request.service)", "endpoint": "\(request.endpoint)",
                "error": "\(failure)",
            ])
        return failure
    }
}

extension CallReport {
    init(_ outcome: CallOutcome) {
        self.init(
            node: outcome.node, attempts: outcome.attempts,
            retriesUnwritten: outcome.retriesUnwritten,
            retriesIdempotent: outcome.retriesIdempotent, hedges: outcome.hedges)
    }
}
