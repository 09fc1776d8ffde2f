internal import Synchronization

/// A store inside of the process: records live as long as it does.
///
/// Reads and writes of one key are linearizable, and so are batches. Times to live are measured on
/// the environment's clock. Deterministic in a simulation.
public final class MemoryStore: Store {
    /// "memory".
    public var name: String { "memory" }

    /// Where time and tasks come from.
    public let environment: Environment

    /// What the typed forms encode and decode with.
    public let codecs: Codecs

    /// What it holds at most.
    public let limits: StoreLimits

    private let state: Mutex<MemoryStoreState>
    private let alarm: Alarm

    /// Makes an empty store.
    public init(
        environment: Environment = .current, codecs: Codecs = Codecs(),
        limits: StoreLimits = StoreLimits()
    ) {
        self.environment = environment
        self.codecs = codecs
        self.limits = limits
        self.state = Mutex(MemoryStoreState(limits: limits))
        let reference = WeakReference<MemoryStore>()
        self.alarm = Alarm(environment: environment) { reference.object?.reap() }
        reference.object = self
    }

    /// The record at `key`. See ``Store``.
    public func record(_ key: String) async throws -> StoreRecord? {
        try limits.check(key: key)
        try Task.checkCancellation()
        let now = environment.clock.now
        return try perform { state throws(MicroError) in try state.record(key, now: now) }
    }

    /// Does all of a batch, or nothing. See ``Store``.
    @discardableResult
    public func commit(_ batch: StoreBatch) async throws -> StoreCommit {
        try limits.check(batch)
        try Task.checkCancellation()
        let now = environment.clock.now
        return try perform { state throws(MicroError) in try state.commit(batch, now: now) }
    }

    /// Keys in order. See ``Store``. A page isn't a snapshot: what changes while it is made may be
    /// in it or not.
    public func list(_ query: StoreQuery) async throws -> StorePage {
        try query.validate()
        var start = ExactKey(query.prefix)
        if let after = query.after { start = max(start, ExactKey(after)) }
        var keys: [String] = []
        // The lock is let go between the parts of a long walk. One key more tells if there is more.
        while true {
            try Task.checkCancellation()
            let now = environment.clock.now
            let wanted = query.limit + 1 - keys.count
            let from = start
            let part = try perform { state throws(MicroError) in
                try state.scan(query, from: from, wanted: wanted, budget: 4096, now: now)
            }
            keys += part.keys
            guard keys.count <= query.limit, let next = part.next else { break }
            start = next
        }
        guard keys.count > query.limit else { return StorePage(keys: keys, next: nil) }
        keys.removeLast(keys.count - query.limit)
        return StorePage(keys: keys, next: keys.last)
    }

    /// Watches keys. See ``Store``.
    public func changes(prefix: String, from revision: UInt64?) async throws -> StoreChanges {
        try Task.checkCancellation()
        let now = environment.clock.now
        let watcher = try perform { state throws(MicroError) in
            try state.watch(prefix: prefix, from: revision, now: now)
        }
        return StoreChanges(source: Source(store: self, watcher: watcher))
    }

    /// Closes the store. See ``Store``.
    public func close() async {
        perform { $0.close() }
        alarm.stop()
    }

    private struct Source: StoreChangeSource {
        let store: MemoryStore
        let watcher: UInt64

        func next() async throws -> StoreChange? { try await store.next(watcher) }

        func abandon() { store.perform { $0.unwatch(watcher) } }
    }

    private func next(_ watcher: UInt64) async throws -> StoreChange? {
        let call = state.withLock { $0.newID() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let now = environment.clock.now
                perform { state in
                    if Task.isCancelled {
                        state.refuse(continuation, CancellationError())
                    } else {
                        state.next(watcher, continuation, call: call, now: now)
                    }
                }
            }
        } onCancel: {
            perform { $0.cancelNext(watcher, call: call) }
        }
    }

    private func reap() {
        let now = environment.clock.now
        perform { $0.reap(now: now) }
    }

    /// Uses the state, and then, without the lock, resumes whom that concerns.
    @discardableResult
    private func perform<T: Sendable, E: Error>(
        _ body: (inout MemoryStoreState) throws(E) -> T
    ) throws(E) -> T {
        let (result, wakeups, expiry) = state.withLock { state in
            let result: Result<T, E>
            do throws(E) {
                result = .success(try body(&state))
            } catch {
                result = .failure(error)
            }
            return (result, state.takeWakeups(), state.nextExpiry())
        }
        for wakeup in wakeups { wakeup.continuation.resume(with: wakeup.result) }
        alarm.arm(at: expiry)
        return try result.get()
    }
}
