/// How long a call may take and how often it may be tried: what its options say, and where they say
/// nothing those of its client.
struct CallTerms: Sendable {
    /// nil for a stream without a deadline.
    var time: CallTime?
    /// In nanoseconds, 0 for none.
    var attemptTimeout: UInt64
    var attempts: Int
    var isIdempotent: Bool
    /// Of the message; for a stream of requests: whether some of its messages may be.
    var isCompressed: Bool

    init(_ request: ClientRequest, _ options: ClientOptions, within time: CallTime?) {
        let retry = request.options.retry ?? options.retry
        let compression = request.options.compression ?? options.compression
        self.time = time
        attemptTimeout = request.options.attemptTimeout?.unsignedNanoseconds ?? 0
        attempts = retry.attempts
        isIdempotent = retry.isIdempotent
        isCompressed =
            request.kind.streamsRequests
            ? compression != .off : compression.covers(request.body)
    }
}

/// When a call has to be done, and how much time that was when this was made.
struct CallTime: Sendable {
    var deadline: EventLoopClock.Instant
    /// In nanoseconds, at least 1.
    var left: UInt64

    init(deadline: EventLoopClock.Instant, left: UInt64) {
        self.deadline = deadline
        self.left = left
    }

    init(left: UInt64, from now: EventLoopClock.Instant) {
        self.init(deadline: now.advanced(byNanoseconds: left), left: left)
    }
}
