public import Logging

/// One run of a schedule. See ``Sync/schedule(_:every:offset:jitter:logger:_:)``.
public struct ScheduledRun: Sendable {
    /// When it was due, since 1970.
    public let due: Duration

    /// The lease under which it runs.
    public let lease: Lease
}

extension Sync {
    /// Runs `body` at fixed times, each time in one of all places that call this.
    ///
    /// The times are the multiples of `interval` since 1970, moved by `offset`: every 24 hours with
    /// an offset of 3 hours is at 03:00 UTC. Each of them runs at most once in the cluster, also
    /// when the one that took it dies, as long as the calendars of the machines are less than
    /// `interval` apart; one that comes while the last run still goes on is skipped, and so are
    /// those that passed while nobody was there. An error of `body` is logged, and it goes on.
    /// - Parameters:
    ///   - name: Of the schedule.
    ///   - interval: 1 second or more.
    ///   - offset: Moves the times. Less than `interval`.
    ///   - jitter: Waits up to so long more, each time another time. Less than `interval`.
    ///   - logger: For what `body` throws.
    ///   - body: What to do. It is cancelled when its lease is lost.
    /// - Throws: `CancellationError` when the task is cancelled; it does not end otherwise.
    ///   ``MicroError``: `invalidArgument`; `unavailable` when the locks are closed.
    public func schedule(
        _ name: String, every interval: Duration, offset: Duration = .zero,
        jitter: Duration = .zero, logger: Logger = Logger(label: "micro.sync"),
        _ body: @escaping @Sendable (ScheduledRun) async throws -> Void
    ) async throws {
        let times = try ScheduledTimes(interval: interval, offset: offset, jitter: jitter)
        while true {
            let (number, due) = times.next(after: environment.wallClock)
            // Long waits are cut: the calendar may be set meanwhile.
            while case let left = due - environment.wallClock, left > .zero {
                try await environment.clock.sleep(for: min(left, .seconds(60)))
            }
            if jitter > .zero {
                let share = Double(environment.random() >> 11) * 0x1p-53
                try await environment.clock.sleep(for: jitter * share)
            }
            do {
                try await run(name, number, due: due, ttl: interval, body)
            } catch let error as MicroError where error.reason == "SYNC_CLOSED" {
                throw error
            } catch {
                try Task.checkCancellation()
                logger.warning(
                    "a scheduled run failed",
                    metadata: ["schedule": "\(name)", "error": "\(error)"])
            }
        }
    }

    private func run(
        _ name: String, _ number: Int64, due: Duration, ttl: Duration,
        _ body: @escaping @Sendable (ScheduledRun) async throws -> Void
    ) async throws {
        do {
            // Never given back: so nobody runs it again.
            _ = try await acquire(
                "$schedule/\(name)/\(number)", ttl: ttl + .seconds(60), timeout: .zero)
            try await withLock("$schedule/\(name)", timeout: .zero) { lease in
                try await body(ScheduledRun(due: due, lease: lease))
            }
        } catch let error as MicroError where error.reason == "LOCK_TIMEOUT" {
            // Somebody else runs it, or the last one.
        }
    }
}

/// The times of a schedule.
struct ScheduledTimes {
    private let interval: Int64
    private let offset: Int64

    init(interval: Duration, offset: Duration, jitter: Duration) throws(MicroError) {
        guard interval >= .seconds(1), interval <= .seconds(366 * 86_400) else {
            throw .invalid(
                "sync.schedule", "every is \(interval): it must be 1 second to 366 days",
                at: "every")
        }
        guard offset >= .zero, offset < interval, jitter >= .zero, jitter < interval else {
            throw .invalid(
                "sync.schedule",
                "offset is \(offset) and jitter \(jitter): both must be less than every, \(interval)",
                at: "offset")
        }
        self.interval = interval.clampedNanoseconds
        self.offset = offset.clampedNanoseconds
    }

    /// The first one after `now`, both since 1970, and its number.
    func next(after now: Duration) -> (number: Int64, due: Duration) {
        let past = now.clampedNanoseconds - offset
        let number = (past >= 0 ? past / interval : -1) + 1
        return (number, .nanoseconds(number * interval + offset))
    }
}
