internal import Synchronization

/// A store inside of the process: records live as long as it does.
///
/// Reads and writes of one key are linearizable, and so are batches. Times to live are measured on
/// the environment's clock. Deterministic in a simulation. Tasks on several threads that use
/// different keys do not wait for each other.
public final class MemoryStore: Store {
    /// "memory".
    public var name: String { "memory" }

    /// Where time and tasks come from.
    public let environment: Environment

    /// What the typed forms encode and decode with.
    public let codecs: Codecs

    /// What it holds at most.
    public let limits: StoreLimits

    /// Locked in their order, and the journal after them.
    private let shards: [MemoryStoreShard]
    private let journal: Mutex<MemoryStoreJournal>
    private let isClosed = Atomic<Bool>(false)
    private let alarm: Alarm

    /// Makes an empty store.
    public init(
        environment: Environment = .current, codecs: Codecs = Codecs(),
        limits: StoreLimits = StoreLimits()
    ) {
        self.environment = environment
        self.codecs = codecs
        self.limits = limits
        self.shards = (0..<16).map { MemoryStoreShard(place: $0) }
        self.journal = Mutex(MemoryStoreJournal(limits: limits))
        let reference = WeakReference<MemoryStore>()
        self.alarm = Alarm(environment: environment) { reference.object?.reap() }
        reference.object = self
    }

    private func shard(of key: ExactKey) -> MemoryStoreShard {
        // By a hash that is the same in every run, so that a simulation is.
        shards[Int(truncatingIfNeeded: stableHash(key.string) & 15)]
    }

    // MARK: Reading

    /// The record at `key`. See ``Store``.
    public func record(_ key: String) async throws -> StoreRecord? {
        try limits.check(key: key)
        try Task.checkCancellation()
        try checkOpen("store.read")
        let key = ExactKey(key)
        let shard = shard(of: key)
        let found = shard.locked { () -> MemoryStoreEntry? in
            guard let entry = shard.contents.entries[key] else { return nil }
            shard.contents.use(entry)
            return entry
        }
        guard let found else { return nil }
        guard found.expiry != nil else { return found.record(at: .init(nanoseconds: 0)) }
        let now = environment.clock.now
        return found.isOver(at: now) ? nil : found.record(at: now)
    }

    /// Keys in order. See ``Store``. A page isn't a snapshot: what changes while it is made may be
    /// in it or not.
    public func list(_ query: StoreQuery) async throws -> StorePage {
        try query.validate()
        var start = ExactKey(query.prefix)
        if let after = query.after { start = max(start, ExactKey(after)) }
        var heads = MinHeap<MemoryStoreWalk>()
        for shard in shards { heads.push(MemoryStoreWalk(of: shard, from: start)) }
        var keys: [String] = []
        // One more tells whether there is more. The locks are let go between the parts of a walk.
        while keys.count <= query.limit, var walk = heads.popFirst() {
            if let key = walk.popFirst() {
                keys.append(key.string)
            } else {
                try Task.checkCancellation()
                try checkOpen("store.list")
                walk.readOn(query, now: environment.clock.now)
            }
            if !walk.isOver { heads.push(walk) }
        }
        guard keys.count > query.limit else { return StorePage(keys: keys, next: nil) }
        keys.removeLast(keys.count - query.limit)
        return StorePage(keys: keys, next: keys.last)
    }

    private func checkOpen(_ id: String) throws(MicroError) {
        if isClosed.load(ordering: .acquiring) { throw StoreRefusal.closed(id) }
    }

    // MARK: Changing

    /// Does all of a batch, or nothing. See ``Store``.
    @discardableResult
    public func commit(_ batch: StoreBatch) async throws -> StoreCommit {
        try limits.check(batch)
        try Task.checkCancellation()
        do {
            return try commitNow(batch)
        } catch let error where error.reason == StoreRefusal.fullReason {
            return try commitMakingRoom(batch)
        }
    }

    /// What is over makes room first, and then, when the limits say so, what was not used lately.
    private func commitMakingRoom(_ batch: StoreBatch) throws(MicroError) -> StoreCommit {
        reap()
        while true {
            do throws(MicroError) {
                return try commitNow(batch)
            } catch {
                guard error.reason == StoreRefusal.fullReason,
                    limits.whenFull == .evictLeastRecentlyUsed, evict(besides: batch)
                else { throw error }
            }
        }
    }

    private func commitNow(_ batch: StoreBatch) throws(MicroError) -> StoreCommit {
        let clock = environment.clock
        if batch.checks.isEmpty, batch.operations.count == 1 {
            let step = MemoryStoreStep(batch.operations[0], in: shard, clock: clock)
            return try commitNow(
                MemoryStoreCommit(checks: [], steps: CollectionOfOne(step)), [step.shard])
        }
        let checks = batch.checks.map { MemoryStoreStep($0, in: shard) }
        let steps = batch.operations.map { MemoryStoreStep($0, in: shard, clock: clock) }
        let used = shards.filter { shard in (checks + steps).contains { $0.shard === shard } }
        return try commitNow(MemoryStoreCommit(checks: checks, steps: steps), used[...])
    }

    private func commitNow<Steps>(
        _ commit: MemoryStoreCommit<Steps>, _ used: ArraySlice<MemoryStoreShard>
    ) throws(MicroError) -> StoreCommit {
        try settling { () throws(MicroError) in
            try MemoryStoreShard.locked(used) { () throws(MicroError) in
                if commit.hasExpiries {
                    for entry in commit.overdue(at: environment.clock.now) { expire(entry) }
                }
                try commit.verify()
                let done = try journal.withLock { journal throws(MicroError) in
                    try commit.record(in: &journal)
                }
                commit.apply()
                return done
            }
        }
    }

    // MARK: Watching

    /// Watches keys. See ``Store``.
    public func changes(prefix: String, from revision: UInt64?) async throws -> StoreChanges {
        try Task.checkCancellation()
        reap()
        let watcher = try journal.withLock { journal throws(MicroError) in
            try journal.watch(prefix: prefix, from: revision)
        }
        return StoreChanges(source: Source(store: self, watcher: watcher))
    }

    private struct Source: StoreChangeSource {
        let store: MemoryStore
        let watcher: UInt64

        func next() async throws -> StoreChange? { try await store.next(watcher) }

        func abandon() {
            store.settling { store.journal.withLock { $0.unwatch(watcher) } }
        }
    }

    private func next(_ watcher: UInt64) async throws -> StoreChange? {
        let call = journal.withLock { $0.newID() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                settling {
                    journal.withLock { journal in
                        if Task.isCancelled {
                            journal.refuse(continuation, CancellationError())
                        } else {
                            journal.next(watcher, continuation, call: call)
                        }
                    }
                }
            }
        } onCancel: {
            settling { journal.withLock { $0.cancelNext(watcher, call: call) } }
        }
    }

    // MARK: Making room

    /// Takes out what is over.
    private func reap() {
        while true {
            let now = environment.clock.now
            // Bounded, so that nobody waits for long.
            let due = journal.withLock { $0.takeExpired(now: now, atMost: 256) }
            settling {
                for expiry in due {
                    let shard = shard(of: expiry.key)
                    shard.locked {
                        let entry = shard.contents.entries[expiry.key]
                        if let entry, entry.version == expiry.version { expire(entry) }
                    }
                }
            }
            if due.isEmpty { return }
        }
    }

    /// Takes out a record that is over. Its shard is locked.
    private func expire(_ entry: MemoryStoreEntry) {
        journal.withLock { journal in
            journal.expired(entry)
            journal.wakeWatchers()
        }
        shard(of: entry.key).contents.remove(entry.key)
    }

    /// Takes out one record that was not used lately and that `batch` does not touch.
    ///
    /// - Returns: Whether there was one.
    private func evict(besides batch: StoreBatch) -> Bool {
        let first = Int(environment.random() % UInt64(shards.count))
        for offset in shards.indices {
            let shard = shards[(first + offset) % shards.count]
            let isDone = settling {
                shard.locked {
                    let draws = (0..<8).map { _ in environment.random() }
                    let entry = shard.contents.leastLatelyUsed(of: draws, besides: batch)
                    if let entry { expire(entry) }
                    return entry != nil
                }
            }
            if isDone { return true }
        }
        return false
    }

    // MARK: Ends

    /// Closes the store. See ``Store``.
    public func close() async {
        isClosed.store(true, ordering: .releasing)
        settling { journal.withLock { $0.close() } }
        alarm.stop()
    }

    /// Runs `body`, and then, without a lock, resumes whom that concerns, and arms the alarm.
    @discardableResult
    private func settling<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
        defer {
            if let errands = journal.withLock({ $0.takeErrands() }) {
                for wakeup in errands.wakeups { wakeup.continuation.resume(with: wakeup.result) }
                alarm.arm(at: errands.alarm)
            }
        }
        return try body()
    }
}
