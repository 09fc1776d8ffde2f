extension CallTerms {
    init(
        _ request: borrowing ClientRequest, _ terms: EndpointTerms, _ options: ClientOptions,
        within time: CallTime?
    ) {
        self.init()
        let retry = request.options.retry ?? terms.retry
        let compression = request.options.compression ?? options.compression
        plan.attemptTimeout =
            request.options.attemptTimeout.map { $0.unsignedNanoseconds } ?? terms.attemptTimeout
        if let delay = request.options.hedgeAfter { plan.hedgeDelay = delay.unsignedNanoseconds }
        plan.hashKey = request.options.hashKey
        plan.attemptsMax = retry.attempts
        plan.isIdempotent = retry.isIdempotent
        plan.waitsForReady = request.options.waitsForReady
        plan.kind = request.kind
        if compression != .off {
            plan.flags =
                request.kind.streamsRequests
                ? compression.flagsOfAny : compression.flags(for: request.body)
        }
        set(time)
    }
}
