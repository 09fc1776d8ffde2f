internal import CMicroCore

/// Monotonic time on an event loop: it goes on while the machine sleeps, never backwards, and is
/// virtual in a simulation. Resolution of sleeping: 1 ms, never early.
public struct EventLoopClock: Clock, Sendable {
    let loop: EventLoop

    /// A point on the clock. Only instants of one machine, and since its last start, compare.
    public struct Instant: InstantProtocol, Sendable, Hashable {
        /// Nanoseconds since the clock's zero, which is the machine's start.
        public var nanoseconds: UInt64

        /// A point so many nanoseconds after the clock's zero.
        public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

        /// This instant moved by `duration`; saturates at both ends.
        public func advanced(by duration: Duration) -> Instant {
            let delta = duration.clampedNanoseconds
            let magnitude = delta.magnitude
            let (sum, overflow) =
                delta < 0
                ? nanoseconds.subtractingReportingOverflow(magnitude)
                : nanoseconds.addingReportingOverflow(magnitude)
            return Instant(nanoseconds: overflow ? (delta < 0 ? 0 : .max) : sum)
        }

        func advanced(byNanoseconds delta: UInt64) -> Instant {
            let (sum, overflow) = nanoseconds.addingReportingOverflow(delta)
            return Instant(nanoseconds: overflow ? .max : sum)
        }

        /// How long from here to `other`; negative when it is before.
        public func duration(to other: Instant) -> Duration {
            other.nanoseconds >= nanoseconds
                ? .nanoseconds(Int64(clamping: other.nanoseconds - nanoseconds))
                : .nanoseconds(-Int64(clamping: nanoseconds - other.nanoseconds))
        }

        /// Whether `lhs` is earlier.
        public static func < (lhs: Instant, rhs: Instant) -> Bool {
            lhs.nanoseconds < rhs.nanoseconds
        }
    }

    /// The present instant. Any thread.
    public var now: Instant { Instant(nanoseconds: mcore_loop_now_ns(loop.raw)) }

    /// What the clock can tell apart when it sleeps.
    public var minimumResolution: Duration { .milliseconds(1) }

    /// Suspends until `deadline`.
    ///
    /// - Parameter tolerance: Ignored: timers fire on the wheel's millisecond.
    /// - Throws: `CancellationError` as soon as the task is cancelled.
    public func sleep(until deadline: Instant, tolerance: Duration? = nil) async throws {
        let here = EventLoop.current ?? loop
        try await here.sleep(until: deadline.nanoseconds)
    }

    /// Suspends for `duration`; when it is zero or negative, only lets others run.
    ///
    /// - Throws: `CancellationError` as soon as the task is cancelled.
    public func sleep(for duration: Duration) async throws {
        try await sleep(until: now.advanced(by: duration))
    }
}

extension Duration {
    /// Whole nanoseconds, at most what fits.
    var clampedNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, carry) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        return carry ? (seconds < 0 ? .min : .max) : sum
    }

    /// As the core takes it: nanoseconds, 0 when negative.
    package var unsignedNanoseconds: UInt64 { UInt64(Swift.max(0, clampedNanoseconds)) }

    /// As the core takes it: milliseconds, rounded up, 0 when negative, at most `UInt32.max`.
    var clampedMilliseconds: UInt32 {
        let nanoseconds = unsignedNanoseconds
        let milliseconds = nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 == 0 ? 0 : 1)
        return UInt32(clamping: milliseconds)
    }
}
