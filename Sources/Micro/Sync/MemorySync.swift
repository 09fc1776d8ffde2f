internal import Synchronization

/// Locks between the tasks of one process.
///
/// Waiters are served in the order in which they came; a lease ends by its own timer. Tokens grow
/// as long as the object lives. Deterministic in a simulation.
public final class MemorySync: Sync {
    /// "memory".
    public var name: String { "memory" }

    /// Where time, tasks and randomness come from.
    public let environment: Environment

    private let state: Mutex<MemorySyncState>
    private let alarm: Alarm

    /// Makes locks that nobody else knows.
    ///
    /// - Parameter maxWaiters: How many may wait for one lock.
    public init(environment: Environment = .current, maxWaiters: Int = 10_000) {
        self.environment = environment
        self.state = Mutex(MemorySyncState(clock: environment.clock, maxWaiters: maxWaiters))
        let reference = WeakReference<MemorySync>()
        self.alarm = Alarm(environment: environment) { reference.object?.tick() }
        reference.object = self
    }

    /// Waits for the lock, and takes it. See ``Sync``.
    public func acquire(_ name: String, ttl: Duration, timeout: Duration?) async throws -> Lease {
        try SyncRefusal.check(name, ttl: ttl)
        let owner = String(environment.random(), radix: 16)
        let call = state.withLock { $0.newID() }
        let lease = try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let now = environment.clock.now
                let request = MemorySyncState.Request(
                    name: name, ttl: ttl,
                    deadline: timeout.map { now.advanced(by: max(.zero, $0)) }, call: call,
                    owner: owner, continuation: continuation)
                perform { state in
                    if Task.isCancelled {
                        state.refuse(continuation, CancellationError())
                    } else {
                        state.acquire(request, now: now)
                    }
                }
            }
        } onCancel: {
            perform { $0.cancel(name, call: call) }
        }
        if Task.isCancelled {
            // It came in the same moment: who is cancelled doesn't look at leases.
            try? await release(lease)
            throw CancellationError()
        }
        return lease
    }

    /// Makes a lease live longer. See ``Sync``.
    public func renew(_ lease: Lease) async throws -> Lease {
        let now = environment.clock.now
        return try perform { state throws(MicroError) in try state.renew(lease, now: now) }
    }

    /// Gives the lock back. See ``Sync``.
    public func release(_ lease: Lease) async throws {
        let now = environment.clock.now
        try perform { state throws(MicroError) in try state.release(lease, now: now) }
    }

    /// Who holds the lock now. See ``Sync``.
    public func holder(of name: String) async throws -> LeaseHolder? {
        try SyncRefusal.check(name)
        let now = environment.clock.now
        return try perform { state throws(MicroError) in try state.holder(of: name, now: now) }
    }

    /// Ends all leases, and fails who waits. See ``Sync``.
    public func close() async {
        perform { $0.close() }
        alarm.stop()
    }

    private func tick() {
        let now = environment.clock.now
        perform { $0.tick(now: now) }
    }

    /// Uses the state, and then, without the lock, resumes whom that concerns.
    @discardableResult
    private func perform<T: Sendable, E: Error>(
        _ body: (inout MemorySyncState) throws(E) -> T
    ) throws(E) -> T {
        let (result, wakeups, alarmTime) = state.withLock { state in
            let result: Result<T, E>
            do throws(E) {
                result = .success(try body(&state))
            } catch {
                result = .failure(error)
            }
            return (result, state.takeWakeups(), state.nextAlarm())
        }
        for wakeup in wakeups { wakeup.continuation.resume(with: wakeup.result) }
        alarm.arm(at: alarmTime)
        return try result.get()
    }
}
