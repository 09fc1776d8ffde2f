/// How long a call may take and how often it may be tried: what its options say, and where they say
/// nothing those of its client.
struct CallTerms: Sendable {
    /// With the time that was left when this was made.
    var plan = CallPlan()
    /// When it has to be done; nil for a stream without a deadline.
    private(set) var deadline: EventLoopClock.Instant?

    /// Some time has passed.
    mutating func set(_ time: CallTime?) {
        deadline = time?.deadline
        plan.timeout = time?.left ?? 0
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
