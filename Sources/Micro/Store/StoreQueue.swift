internal import Synchronization

/// Requests that wait for a worker, who takes many of them at once: one transaction serves them
/// all.
///
/// It is bounded, and in order. What waits can be cancelled, and is given up at its deadline: then
/// nothing of it is done. What a worker has taken is waited for.
final class StoreQueue<Request: Sendable, Answer: Sendable>: Sendable {
    struct Limits: Sendable {
        /// How many requests may wait.
        var waiting: Int
        /// How many workers there are.
        var workers: Int
        /// The weight up to which one of them takes requests: more than one only within it.
        var weight: Int
        /// How long a request waits.
        var patience: Duration
    }

    /// Blocking work on some requests, or on none of them after a ``nudge()``; an answer for each.
    typealias Work =
        @Sendable (_ worker: Int, _ requests: [Request], _ isNudged: Bool)
        -> [Result<Answer, any Error>]

    private struct Entry {
        let id: UInt64
        let place: String
        let request: Request
        let weight: Int
        let deadline: EventLoopClock.Instant
        let continuation: CheckedContinuation<Answer, any Error>
    }

    private struct State {
        var waiting = Fifo<Entry>()
        var idle: [Int]
        var isNudged = false
        var isClosed = false
        var closers: [CheckedContinuation<Void, Never>] = []
        var lastID: UInt64 = 0
    }

    private let environment: Environment
    private let limits: Limits
    private let work: Work
    private let state: Mutex<State>
    private let alarm: Alarm

    init(environment: Environment, limits: Limits, work: @escaping Work) {
        self.environment = environment
        self.limits = limits
        self.work = work
        self.state = Mutex(State(idle: Array((0..<limits.workers).reversed())))
        let reference = WeakReference<StoreQueue>()
        self.alarm = Alarm(environment: environment) { reference.object?.giveUpLate() }
        reference.object = self
    }

    var waitingCount: Int { state.withLock { $0.waiting.count } }
    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Has a worker do it.
    ///
    /// - Parameters:
    ///   - place: Where, for errors: "store.read".
    ///   - weight: How much of a group it is.
    /// - Throws: What the work answers; ``MicroError``: `resourceExhausted` (too many wait),
    ///   `deadlineExceeded` (its turn did not come), `unavailable` (closed); `CancellationError`
    ///   when it was cancelled before a worker took it.
    func submit(_ request: Request, weight: Int = 1, at place: String) async throws -> Answer {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        let deadline = try deadline(at: place)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let entry = Entry(
                    id: id, place: place, request: request, weight: weight, deadline: deadline,
                    continuation: continuation)
                do {
                    try enter(entry)
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        } onCancel: {
            let entry = state.withLock { $0.waiting.removeFirst { $0.id == id } }
            entry?.continuation.resume(throwing: CancellationError())
        }
    }

    /// When a call has waited for long enough: that of the call which the task serves counts, too.
    private func deadline(at place: String) throws -> EventLoopClock.Instant {
        let now = environment.clock.now
        let own = now.advanced(by: limits.patience)
        guard let callers = Context.current?.deadline, callers < own else { return own }
        guard callers > now else { throw late(place) }
        return callers
    }

    private func enter(_ entry: Entry) throws {
        let worker: Int? = try state.withLock { state in
            // Asked under the lock: a cancellation that comes later finds the entry.
            guard !Task.isCancelled else { throw CancellationError() }
            guard !state.isClosed else { throw StoreRefusal.closed(entry.place) }
            guard state.waiting.count < limits.waiting else { throw full(entry.place) }
            state.waiting.append(entry)
            return state.idle.popLast()
        }
        if let worker { start(worker) } else { alarm.arm(at: entry.deadline) }
    }

    /// Has a worker look whether there is something to do beside the requests.
    func nudge() {
        let worker: Int? = state.withLock { state in
            guard !state.isClosed else { return nil }
            state.isNudged = true
            return state.idle.popLast()
        }
        if let worker { start(worker) }
    }

    /// Refuses what comes, and returns when all that came before is answered, also when the task is
    /// cancelled. Idempotent.
    func close() async {
        await withCheckedContinuation { continuation in
            state.withLock { state in
                state.isClosed = true
                state.isNudged = false
                state.closers.append(continuation)
            }
            finishIfDrained()
        }
        alarm.stop()
    }

    private func finishIfDrained() {
        let closers = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            guard state.isClosed, state.waiting.isEmpty, state.idle.count == limits.workers else {
                return []
            }
            defer { state.closers = [] }
            return state.closers
        }
        for closer in closers { closer.resume() }
    }

    // MARK: Workers

    private func start(_ worker: Int) {
        // What one task waits for must not make that of others a part of its call.
        Context.unbound { _ = environment.spawn { await self.run(worker) } }
    }

    private func run(_ worker: Int) async {
        while let (entries, isNudged) = take(worker) {
            let (work, requests) = (work, entries.map(\.request))
            do {
                let answers = try await environment.offload { work(worker, requests, isNudged) }
                for (entry, answer) in zip(entries, answers) {
                    entry.continuation.resume(with: answer)
                }
            } catch {
                for entry in entries { entry.continuation.resume(throwing: error) }
            }
            // Whoever goes on with another request is in the next group.
            await Task.yield()
        }
    }

    /// What the worker does next; nil when it has nothing to do.
    private func take(_ worker: Int) -> (entries: [Entry], isNudged: Bool)? {
        let (group, isNudged) = state.withLock { state in
            var group: [Entry] = []
            var weight = 0
            while let next = state.waiting.first,
                group.isEmpty || weight + next.weight <= limits.weight,
                let entry = state.waiting.popFirst()
            {
                weight += entry.weight
                group.append(entry)
            }
            let isNudged = state.isNudged
            state.isNudged = false
            if group.isEmpty, !isNudged { state.idle.append(worker) }
            return (group, isNudged)
        }
        guard group.isEmpty, !isNudged else { return (group, isNudged) }
        finishIfDrained()
        return nil
    }

    // MARK: Limits

    private func giveUpLate() {
        let now = environment.clock.now
        let (given, next) = state.withLock { state in
            var late: [Entry] = []
            var next: EventLoopClock.Instant?
            state.waiting.filter { entry in
                guard entry.deadline > now else {
                    late.append(entry)
                    return false
                }
                next = min(next ?? entry.deadline, entry.deadline)
                return true
            }
            return (late, next)
        }
        for entry in given { entry.continuation.resume(throwing: late(entry.place)) }
        alarm.arm(at: next)
    }

    private func late(_ place: String) -> MicroError {
        .timeout(
            place,
            "its turn did not come in time, and nothing was done: the file is busy, or its disk"
                + " slow", reason: "STORE_BUSY")
    }

    private func full(_ place: String) -> MicroError {
        .resourceExhausted(
            place,
            "\(limits.waiting) calls wait for the store: more than that are not kept, call less"
                + " often", reason: "STORE_BUSY")
    }
}
