/// What all shards of a ``MemoryStore`` share, behind a lock of its own, which is taken while those
/// of the shards are held: revisions, the changes that are remembered, who watches them, what the
/// limits count, and when what expires.
struct MemoryStoreJournal {
    typealias Instant = EventLoopClock.Instant
    typealias Next = CheckedContinuation<StoreChange?, any Error>

    struct Wakeup {
        let continuation: Next
        let result: Result<StoreChange?, any Error>
    }

    /// What a commit adds to what is there.
    struct Growth {
        var entries = 0
        var bytes = 0
        var fences = 0
    }

    /// It does not keep the value alive: the record may be replaced long before.
    struct Expiry: Comparable {
        let at: Instant
        let key: ExactKey
        let version: UInt64

        static func < (lhs: Expiry, rhs: Expiry) -> Bool {
            lhs.at == rhs.at ? lhs.version < rhs.version : lhs.at < rhs.at
        }
    }

    private enum Change {
        case written(MemoryStoreEntry)
        case deleted(ExactKey, UInt64)
        case expired(ExactKey, UInt64)

        var key: ExactKey {
            switch self {
            case .written(let entry): entry.key
            case .deleted(let key, _), .expired(let key, _): key
            }
        }

        var revision: UInt64 {
            switch self {
            case .written(let entry): entry.version
            case .deleted(_, let revision), .expired(_, let revision): revision
            }
        }

        var size: Int {
            switch self {
            case .written(let entry): entry.size
            case .deleted(let key, _), .expired(let key, _): key.string.utf8.count
            }
        }

        var storeChange: StoreChange {
            let kind: StoreChange.Kind =
                switch self {
                case .written(let entry): .written(entry.writtenRecord)
                case .deleted: .deleted
                case .expired: .expired
                }
            return StoreChange(key: key.string, revision: revision, kind: kind)
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
    private var totals = Growth()

    private var log = Fifo<Change>()
    private var logBytes = 0
    /// How many changes were forgotten, and the revision of the last of them.
    private var forgotten: UInt64 = 0
    private var forgottenRevision: UInt64 = 0

    private var expiries = MinHeap<Expiry>()
    private var mayHaveNewAlarm = false

    private var watchers: [UInt64: Watcher] = [:]
    private var watcherOrder: [UInt64] = []
    private var lastID: UInt64 = 0
    private var wakeups: [Wakeup] = []

    init(limits: StoreLimits) { self.limits = limits }

    func checkOpen(_ id: String) throws(MicroError) {
        guard isClosed else { return }
        throw StoreRefusal.closed(id)
    }

    /// What there is to do without the lock: whom to resume, and when the alarm has to ring.
    mutating func takeErrands() -> (wakeups: [Wakeup], alarm: Instant?)? {
        guard !wakeups.isEmpty || mayHaveNewAlarm else { return nil }
        defer {
            wakeups = []
            mayHaveNewAlarm = false
        }
        return (wakeups, expiries.first?.at)
    }

    // MARK: Commits

    /// Counts what a commit adds.
    ///
    /// - Throws: ``MicroError``, `resourceExhausted`, when that is beyond a limit: nothing is
    ///   counted then.
    mutating func reserve(_ growth: Growth) throws(MicroError) {
        if growth.entries > 0, totals.entries + growth.entries > limits.entries {
            throw StoreRefusal.full(
                "\(totals.entries) records are there, and entries is \(limits.entries)")
        }
        if growth.bytes > 0, totals.bytes + growth.bytes > limits.bytes {
            throw StoreRefusal.full("\(totals.bytes) bytes are there, and bytes is \(limits.bytes)")
        }
        if growth.fences > 0, totals.fences + growth.fences > limits.entries {
            throw StoreRefusal.full(
                "\(totals.fences) keys have a token, and entries is \(limits.entries)")
        }
        totals.entries += growth.entries
        totals.bytes += growth.bytes
        totals.fences += growth.fences
    }

    mutating func written(_ entry: MemoryStoreEntry, revision: UInt64) {
        entry.version = revision
        append(.written(entry))
        guard let at = entry.expiry else { return }
        expiries.push(Expiry(at: at, key: entry.key, version: revision))
        mayHaveNewAlarm = true
    }

    mutating func deleted(_ key: ExactKey, revision: UInt64) { append(.deleted(key, revision)) }

    /// The record is gone because its time was over, or to make room.
    mutating func expired(_ entry: MemoryStoreEntry) {
        totals.entries -= 1
        totals.bytes -= entry.size
        append(.expired(entry.key, revision + 1))
    }

    // MARK: Expiry

    /// Some of what is over at `now`; it may have been replaced since it was written.
    mutating func takeExpired(now: Instant, atMost limit: Int) -> [Expiry] {
        var taken: [Expiry] = []
        while taken.count < limit, let first = expiries.first, first.at <= now {
            _ = expiries.popFirst()
            taken.append(first)
        }
        mayHaveNewAlarm = true
        return taken
    }

    /// All expiries, when many of them must be of records that were replaced: to be given back
    /// without these.
    mutating func takeExpiriesToSift() -> MinHeap<Expiry>? {
        guard expiries.count > max(1024, 2 * totals.entries) else { return nil }
        defer { expiries.removeAll() }
        return expiries
    }

    mutating func giveBack(_ sifted: MinHeap<Expiry>) { expiries.merge(sifted) }

    // MARK: Watching

    private mutating func append(_ change: Change) {
        revision = change.revision
        log.append(change)
        logBytes += change.size
        while log.count > max(1, limits.changes)
            || (logBytes > limits.changeBytes && log.count > 1),
            let oldest = log.popFirst()
        {
            logBytes -= oldest.size
            forgotten += 1
            forgottenRevision = oldest.revision
        }
    }

    mutating func watch(prefix: String, from start: UInt64?) throws(MicroError) -> UInt64 {
        try checkOpen("store.changes")
        let id = newID()
        var watcher = Watcher(
            prefix: prefix, revision: start ?? 0, position: forgotten + UInt64(log.count))
        if let start {
            guard forgotten == 0 || start > forgottenRevision else {
                throw StoreRefusal.compacted(start, first: forgottenRevision + 1)
            }
            watcher.position = forgotten
        }
        watchers[id] = watcher
        watcherOrder.append(id)
        return id
    }

    mutating func newID() -> UInt64 {
        lastID &+= 1
        return lastID
    }

    mutating func next(_ watcher: UInt64, _ continuation: Next, call: UInt64) {
        if watchers[watcher]?.parked != nil {
            refuse(continuation, StoreRefusal.watchedTwice)
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

    /// Those who wait for a change that is there now are to be resumed.
    mutating func wakeWatchers() {
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

    /// The next change that the watcher wants; nil when it has to wait for one.
    private mutating func advance(_ id: UInt64) -> Result<StoreChange?, any Error>? {
        guard let watcher = watchers[id] else { return .success(nil) }
        guard watcher.position >= forgotten else {
            return .failure(
                StoreRefusal.compacted(watcher.revision, first: forgottenRevision + 1))
        }
        var position = watcher.position
        defer { watchers[id]?.position = position }
        while position < forgotten + UInt64(log.count) {
            let change = log[Int(position - forgotten)]
            position += 1
            if change.revision >= watcher.revision,
                change.key.string.hasExactPrefix(watcher.prefix)
            {
                return .success(change.storeChange)
            }
        }
        return isClosed ? .success(nil) : nil
    }
}
