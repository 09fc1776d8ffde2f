extension CallTerms {
    init(_ request: borrowing ClientRequest, _ options: ClientOptions, within time: CallTime?) {
        self.init()
        let retry = request.options.retry ?? options.retry
        let compression = request.options.compression ?? options.compression
        if let timeout = request.options.attemptTimeout {
            plan.attemptTimeout = timeout.unsignedNanoseconds
        }
        plan.attemptsMax = retry.attempts
        plan.isIdempotent = retry.isIdempotent
        plan.waitsForReady = request.options.waitsForReady
        plan.kind = request.kind
        if compression != .off {
            plan.isCompressed = request.kind.streamsRequests || compression.covers(request.body)
        }
        set(time)
    }
}
