public import Micro
internal import Synchronization

/// What several clients did with one lock and the resource that it guards, and whether that was
/// right.
///
/// ```swift
/// let history = LockHistory()
/// // each client, as often as it likes:
/// try await sync.withLock("a") { lease in
///     history.acquired(lease.token, requested: before, at: clock.now)
///     let accepted = …   // a write that is fenced by the token
///     history.wrote(lease.token, from: start, to: clock.now, accepted: accepted)
/// }
/// #expect(history.violations.isEmpty)
/// ```
/// It is a check of linearizability that takes linear time, and not a search: tokens say in which
/// order the lock was taken, so there is one candidate for the order of all operations, by token,
/// and only that has to agree with real time. It does when
/// - no token is given twice,
/// - an acquisition that had returned before another was requested has the smaller token,
/// - a write that began when one with a newer token had been accepted is refused.
///
/// Of the holders alone nothing is demanded: two may believe that they hold the lock, when one was
/// paused. What counts is what the resource accepts.
public final class LockHistory: Sendable {
    private struct Acquisition {
        let token: UInt64
        let requested: EventLoopClock.Instant
        let returned: EventLoopClock.Instant
    }

    private struct Write {
        let token: UInt64
        let began: EventLoopClock.Instant
        let ended: EventLoopClock.Instant
    }

    private struct State {
        var acquisitions: [Acquisition] = []
        var writes: [Write] = []
        var refusals = 0
    }

    private let state = Mutex(State())

    /// Makes an empty history.
    public init() {}

    /// How many writes were accepted.
    public var writes: Int { state.withLock { $0.writes.count } }

    /// How many writes were refused.
    public var refusals: Int { state.withLock { $0.refusals } }

    /// A client has got the lock.
    public func acquired(
        _ token: UInt64, requested: EventLoopClock.Instant, at returned: EventLoopClock.Instant
    ) {
        state.withLock {
            $0.acquisitions.append(
                Acquisition(token: token, requested: requested, returned: returned))
        }
    }

    /// A client has tried to write under a token. One whose fate it does not know is none: leave it
    /// out.
    public func wrote(
        _ token: UInt64, from began: EventLoopClock.Instant, to ended: EventLoopClock.Instant,
        accepted: Bool
    ) {
        state.withLock { state in
            guard accepted else { return state.refusals += 1 }
            state.writes.append(Write(token: token, began: began, ended: ended))
        }
    }

    /// What was wrong, one line each.
    public var violations: [String] {
        let state = state.withLock { $0 }
        return Self.tokensOutOfOrder(state.acquisitions) + Self.staleWrites(state.writes)
    }

    /// Of those that had returned before a request, none has a greater token, nor the same.
    private static func tokensOutOfOrder(_ all: [Acquisition]) -> [String] {
        let byRequest = all.sorted { $0.requested < $1.requested }
        let byReturn = all.sorted { $0.returned < $1.returned }
        var violations: [String] = []
        var seen: Set<UInt64> = []
        for acquisition in all where !seen.insert(acquisition.token).inserted {
            violations.append("token \(acquisition.token) was given twice")
        }
        var highest: UInt64 = 0
        var next = byReturn.startIndex
        for acquisition in byRequest {
            while next < byReturn.endIndex, byReturn[next].returned < acquisition.requested {
                highest = max(highest, byReturn[next].token)
                next += 1
            }
            guard acquisition.token <= highest else { continue }
            violations.append("token \(acquisition.token) was given after \(highest)")
        }
        return violations
    }

    private static func staleWrites(_ all: [Write]) -> [String] {
        let byBegin = all.sorted { $0.began < $1.began }
        let byEnd = all.sorted { $0.ended < $1.ended }
        var violations: [String] = []
        var highest: UInt64 = 0
        var next = byEnd.startIndex
        for write in byBegin {
            while next < byEnd.endIndex, byEnd[next].ended < write.began {
                highest = max(highest, byEnd[next].token)
                next += 1
            }
            guard write.token < highest else { continue }
            violations.append("a write of token \(write.token) was accepted after \(highest)'s")
        }
        return violations
    }
}
