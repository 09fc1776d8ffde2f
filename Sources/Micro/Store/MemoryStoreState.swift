/// Everything a ``MemoryStore`` knows, behind its lock. Watchers that have something to see are
/// collected, to be resumed outside of the lock.
struct MemoryStoreState {
    typealias Instant = EventLoopClock.Instant
    typealias Next = CheckedContinuation<StoreChange?, any Error>

    struct Wakeup {
        let continuation: Next
        let result: Result<StoreChange?, any Error>
    }

    private struct Entry {
        let value: [UInt8]
        let contentType: String
        let metadata: Metadata
        let version: UInt64
        let expiry: Instant?
        let size: Int
    }

    private struct Expiry: Comparable {
        let at: Instant
        let key: ExactKey
        let version: UInt64

        static func < (lhs: Expiry, rhs: Expiry) -> Bool {
            lhs.at == rhs.at ? lhs.version < rhs.version : lhs.at < rhs.at
        }
    }

    private struct Watcher {
        let prefix: String
        /// Changes before this one are not wanted.
        let revision: UInt64
        /// The next change to look at, counted from the first one ever.
        var position: UInt64
        var parked: (call: UInt64, continuation: Next)?
    }

    private let limits: StoreLimits
    private(set) var revision: UInt64 = 0
    private(set) var isClosed = false

    private var entries: [ExactKey: Entry] = [:]
    private var keys = SortedKeys()
    private var fences: [ExactKey: UInt64] = [:]
    private var bytes = 0

    private var expiries = MinHeap<Expiry>()
    private var expiriesBound = 1024

    private var log = Fifo<StoreChange>()
    private var logBytes = 0
    /// How many changes were forgotten, and the revision of the last of them.
    private var forgotten: UInt64 = 0
    private var forgottenRevision: UInt64 = 0

    private var watchers: [UInt64: Watcher] = [:]
    private var watcherOrder: [UInt64] = []
    private var lastID: UInt64 = 0
    private var wakeups: [Wakeup] = []

    init(limits: StoreLimits) { self.limits = limits }

    mutating func newID() -> UInt64 {
        lastID &+= 1
        return lastID
    }

    mutating func takeWakeups() -> [Wakeup] {
        defer { wakeups = [] }
        return wakeups
    }

    private func checkOpen(_ id: String) throws(MicroError) {
        guard isClosed else { return }
        throw .unavailable(id, "the store is closed", reason: "STORE_CLOSED")
    }

    // MARK: Reading

    func record(_ key: String, now: Instant) throws(MicroError) -> StoreRecord? {
        try checkOpen("store.read")
        let key = ExactKey(key)
        return live(key, now: now).map { record(key, $0, now: now) }
    }

    private func live(_ key: ExactKey, now: Instant) -> Entry? {
        guard let entry = entries[key] else { return nil }
        if let expiry = entry.expiry, expiry <= now { return nil }
        return entry
    }

    private func record(_ key: ExactKey, _ entry: Entry, now: Instant) -> StoreRecord {
        StoreRecord(
            key: key.string, value: entry.value, contentType: entry.contentType,
            metadata: entry.metadata, version: entry.version,
            timeToLive: entry.expiry.map { max(.zero, now.duration(to: $0)) })
    }

    /// Looks at up to `budget` keys from `start` on.
    ///
    /// - Returns: Keys that fit, and from where to go on; nil when the walk is over.
    func scan(
        _ query: StoreQuery, from start: ExactKey, wanted: Int, budget: Int, now: Instant
    ) throws(MicroError) -> (keys: [String], next: ExactKey?) {
        try checkOpen("store.list")
        var found: [String] = []
        var next: ExactKey?
        var remaining = budget
        keys.walk(from: start) { key in
            guard key.string.hasExactPrefix(query.prefix) else { return false }
            guard remaining > 0, found.count < wanted else {
                next = key
                return false
            }
            remaining -= 1
            if let after = query.after, key <= ExactKey(after) { return true }
            if key.string.hasExactSuffix(query.suffix), live(key, now: now) != nil {
                found.append(key.string)
            }
            return true
        }
        return (found, next)
    }

    // MARK: Changing

    mutating func commit(_ batch: StoreBatch, now: Instant) throws(MicroError) -> StoreCommit {
        try checkOpen("store.commit")
        reap(now: now)
        // What is over is over, also when the reaper hasn't come so far.
        for check in batch.checks { expireIfDue(ExactKey(check.key), now: now) }
        for operation in batch.operations { expireIfDue(ExactKey(operation.key), now: now) }

        for check in batch.checks { try verify(check) }
        for operation in batch.operations { try verify(operation) }
        try verifyLimits(batch)

        var deleted = 0
        let next = revision + 1
        for operation in batch.operations {
            let key = ExactKey(operation.key)
            if let fence = operation.fence { fences[key] = fence }
            switch operation {
            case .write(let write): self.write(write, at: key, revision: next, now: now)
            case .delete:
                guard entries[key] != nil else { continue }
                remove(key, .deleted, revision: next)
                deleted += 1
            }
        }
        wakeWatchers()
        return StoreCommit(revision: revision, deleted: deleted)
    }

    private func verify(_ check: StoreBatch.Check) throws(MicroError) {
        let found = entries[ExactKey(check.key)]?.version
        guard !check.condition.holds(for: found) else { return }
        throw conflict("store.commit", check.key, check.condition, found, reason: "READ_CONFLICT")
    }

    private func verify(_ operation: StoreBatch.Operation) throws(MicroError) {
        let key = ExactKey(operation.key)
        if let fence = operation.fence, let seen = fences[key], fence < seen {
            throw .failedPrecondition(
                "store.write",
                "\"\(operation.key)\" was written under token \(seen), and \(fence) is older: that "
                    + "lease is lost",
                reason: "STALE_FENCE", metadata: ["key": operation.key, "fence": String(seen)])
        }
        let found = entries[key]?.version
        guard !operation.condition.holds(for: found) else { return }
        throw conflict(
            "store.write", operation.key, operation.condition, found, reason: "VERSION_CONFLICT")
    }

    private func conflict(
        _ id: String, _ key: String, _ condition: WriteCondition, _ found: UInt64?, reason: String
    ) -> MicroError {
        let wanted =
            switch condition {
            case .any: "anything"
            case .absent: "no record"
            case .version(let version): "version \(version)"
            }
        let present = found.map { "version \($0)" } ?? "no record"
        return .conflict(
            id, "\"\(key)\" has \(present), and \(wanted) was expected: read it again",
            reason: reason, metadata: ["key": key, "version": String(found ?? 0)])
    }

    private func verifyLimits(_ batch: StoreBatch) throws(MicroError) {
        var count = entries.count
        var total = bytes
        var newFences = 0
        for operation in batch.operations {
            let key = ExactKey(operation.key)
            let old = entries[key]
            if operation.fence != nil, fences[key] == nil { newFences += 1 }
            if old != nil { count -= 1 }
            total -= old?.size ?? 0
            guard case .write(let write) = operation else { continue }
            count += 1
            total += size(of: write)
        }
        guard count <= limits.entries || count <= entries.count else {
            throw full("\(entries.count) records are there, and entries is \(limits.entries)")
        }
        guard total <= limits.bytes || total <= bytes else {
            throw full("\(bytes) bytes are there, and bytes is \(limits.bytes)")
        }
        guard newFences == 0 || fences.count + newFences <= limits.entries else {
            throw full("\(fences.count) keys have a token, and entries is \(limits.entries)")
        }
    }

    private func full(_ detail: String) -> MicroError {
        .resourceExhausted(
            "store.write", "the store is full: \(detail). Delete records, or raise the limit",
            reason: "STORE_FULL")
    }

    private func size(of write: StoreBatch.Write) -> Int {
        write.key.utf8.count + write.value.count + write.metadata.byteCount
    }

    private mutating func write(
        _ write: StoreBatch.Write, at key: ExactKey, revision: UInt64, now: Instant
    ) {
        let expiry = write.timeToLive.map { now.advanced(by: $0) }
        let entry = Entry(
            value: write.value, contentType: write.contentType, metadata: write.metadata,
            version: revision, expiry: expiry, size: size(of: write))
        if let old = entries.updateValue(entry, forKey: key) {
            bytes -= old.size
        } else {
            keys.insert(key)
        }
        bytes += entry.size
        if let expiry { expiries.push(Expiry(at: expiry, key: key, version: revision)) }
        append(
            StoreChange(
                key: key.string, revision: revision, kind: .written(record(key, entry, now: now))))
    }

    private mutating func remove(_ key: ExactKey, _ kind: StoreChange.Kind, revision: UInt64) {
        guard let old = entries.removeValue(forKey: key) else { return }
        keys.remove(key)
        bytes -= old.size
        append(StoreChange(key: key.string, revision: revision, kind: kind))
    }

    // MARK: Expiry

    private mutating func expireIfDue(_ key: ExactKey, now: Instant) {
        guard let expiry = entries[key]?.expiry, expiry <= now else { return }
        remove(key, .expired, revision: revision + 1)
    }

    /// Takes out some of what is over: bounded, for it is done under the lock.
    mutating func reap(now: Instant) {
        var budget = 256
        while budget > 0, let first = expiries.first, first.at <= now {
            _ = expiries.popFirst()
            guard entries[first.key]?.version == first.version else { continue }
            budget -= 1
            remove(first.key, .expired, revision: revision + 1)
        }
        wakeWatchers()
    }

    /// When the alarm has to ring.
    mutating func nextExpiry() -> Instant? {
        if expiries.count > expiriesBound {
            expiries.filter { entries[$0.key]?.version == $0.version }
            expiriesBound = max(1024, 2 * expiries.count)
        }
        while let first = expiries.first, entries[first.key]?.version != first.version {
            _ = expiries.popFirst()
        }
        return expiries.first?.at
    }

    // MARK: Watching

    private mutating func append(_ change: StoreChange) {
        revision = change.revision
        log.append(change)
        logBytes += size(of: change)
        while log.count > max(1, limits.changes)
            || (logBytes > limits.changeBytes && log.count > 1),
            let oldest = log.popFirst()
        {
            logBytes -= size(of: oldest)
            forgotten += 1
            forgottenRevision = oldest.revision
        }
    }

    private func size(of change: StoreChange) -> Int {
        guard case .written(let record) = change.kind else { return change.key.utf8.count }
        return change.key.utf8.count + record.value.count + record.metadata.byteCount
    }

    mutating func watch(
        prefix: String, from start: UInt64?, now: Instant
    ) throws(MicroError) -> UInt64 {
        try checkOpen("store.changes")
        reap(now: now)
        let id = newID()
        var watcher = Watcher(
            prefix: prefix, revision: start ?? 0, position: forgotten + UInt64(log.count))
        if let start {
            guard forgotten == 0 || start > forgottenRevision else { throw compacted(start) }
            watcher.position = forgotten
        }
        watchers[id] = watcher
        watcherOrder.append(id)
        return id
    }

    private func compacted(_ start: UInt64) -> MicroError {
        .outOfRange(
            "store.changes",
            "the changes of revision \(start) are forgotten; \(forgottenRevision + 1) is the first "
                + "that is remembered: list the keys, and watch from now",
            reason: "CHANGES_COMPACTED", metadata: ["revision": String(forgottenRevision + 1)])
    }

    mutating func next(_ watcher: UInt64, _ continuation: Next, call: UInt64, now: Instant) {
        reap(now: now)
        if watchers[watcher]?.parked != nil {
            let error = MicroError.failedPrecondition(
                "store.changes", "two tasks wait for the changes of one watch: it has one consumer")
            wakeups.append(Wakeup(continuation: continuation, result: .failure(error)))
        } else if let result = advance(watcher) {
            wakeups.append(Wakeup(continuation: continuation, result: result))
        } else {
            watchers[watcher]?.parked = (call, continuation)
        }
    }

    mutating func refuse(_ continuation: Next, _ error: any Error) {
        wakeups.append(Wakeup(continuation: continuation, result: .failure(error)))
    }

    mutating func cancelNext(_ watcher: UInt64, call: UInt64) {
        guard let parked = watchers[watcher]?.parked, parked.call == call else { return }
        watchers[watcher]?.parked = nil
        refuse(parked.continuation, CancellationError())
    }

    mutating func unwatch(_ watcher: UInt64) {
        guard let removed = watchers.removeValue(forKey: watcher) else { return }
        watcherOrder.removeAll { $0 == watcher }
        guard let parked = removed.parked else { return }
        wakeups.append(Wakeup(continuation: parked.continuation, result: .success(nil)))
    }

    /// The next change that the watcher wants; nil when it has to wait for one.
    private mutating func advance(_ id: UInt64) -> Result<StoreChange?, any Error>? {
        guard let watcher = watchers[id] else { return .success(nil) }
        guard watcher.position >= forgotten else { return .failure(compacted(watcher.revision)) }
        var position = watcher.position
        defer { watchers[id]?.position = position }
        while position < forgotten + UInt64(log.count) {
            let change = log[Int(position - forgotten)]
            position += 1
            if change.revision >= watcher.revision, change.key.hasExactPrefix(watcher.prefix) {
                return .success(change)
            }
        }
        return isClosed ? .success(nil) : nil
    }

    private mutating func wakeWatchers() {
        for id in watcherOrder {
            guard let parked = watchers[id]?.parked, let result = advance(id) else { continue }
            watchers[id]?.parked = nil
            wakeups.append(Wakeup(continuation: parked.continuation, result: result))
        }
    }

    mutating func close() {
        isClosed = true
        wakeWatchers()
    }
}
