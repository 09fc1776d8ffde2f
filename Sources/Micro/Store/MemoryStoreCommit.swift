/// A batch on its way into a ``MemoryStore``. All but the making of it is for who has its shards
/// locked.
struct MemoryStoreCommit<Steps: MutableCollection> where Steps.Element == MemoryStoreStep {
    var checks: [MemoryStoreStep]
    var steps: Steps

    /// Whether the clock matters to it: something that it touches expires.
    var hasExpiries: Bool {
        checks.contains(where: \.replacesExpiring) || steps.contains(where: \.replacesExpiring)
    }

    /// Records whose time is over, which it would find.
    func overdue(at now: EventLoopClock.Instant) -> [MemoryStoreEntry] {
        (checks + steps).compactMap(\.present).filter { $0.isOver(at: now) }
    }

    func verify() throws(MicroError) {
        for check in checks { try check.verifyAsCheck() }
        for index in steps.indices { try steps[index].verify() }
    }

    /// - Throws: ``MicroError``, `resourceExhausted`: a limit would be exceeded. Nothing has
    ///   changed then.
    func record(in journal: inout MemoryStoreJournal) throws(MicroError) -> StoreCommit {
        try journal.checkOpen("store.commit")
        try journal.reserve(growth)
        let before = journal.revision
        var deleted = 0
        for index in steps.indices {
            if let entry = steps[index].entry {
                journal.written(entry, revision: before + 1)
            } else if steps[index].present != nil {
                journal.deleted(steps[index].key, revision: before + 1)
                deleted += 1
            }
        }
        journal.wakeWatchers()
        return StoreCommit(revision: journal.revision, deleted: deleted)
    }

    private var growth: MemoryStoreJournal.Growth {
        var growth = MemoryStoreJournal.Growth()
        for index in steps.indices { steps[index].add(to: &growth) }
        return growth
    }

    func apply() {
        for index in steps.indices { steps[index].apply() }
    }
}

/// A check or an operation of a batch.
struct MemoryStoreStep {
    let key: ExactKey
    let shard: MemoryStoreShard
    let condition: WriteCondition
    let fence: UInt64?
    /// What is written; nil: nothing, it is a check or a deletion.
    let entry: MemoryStoreEntry?

    init(_ check: StoreBatch.Check, in shard: (ExactKey) -> MemoryStoreShard) {
        key = ExactKey(check.key)
        self.shard = shard(key)
        condition = check.condition
        fence = nil
        entry = nil
    }

    init(
        _ operation: StoreBatch.Operation, in shard: (ExactKey) -> MemoryStoreShard,
        clock: EventLoopClock
    ) {
        switch operation {
        case .write(let write):
            key = ExactKey(write.key)
            condition = write.condition
            fence = write.fence
            entry = MemoryStoreEntry(write, key: key, clock: clock)
        case .delete(let deletion):
            key = ExactKey(deletion.key)
            condition = deletion.condition
            fence = deletion.fence
            entry = nil
        }
        self.shard = shard(key)
    }

    var present: MemoryStoreEntry? { shard.contents.entries[key] }

    var replacesExpiring: Bool { shard.contents.hasExpiring && present?.expiry != nil }

    func verifyAsCheck() throws(MicroError) {
        let found = present?.version
        guard condition.holds(for: found) else {
            throw StoreRefusal.checkConflict(key.string, condition, found: found)
        }
    }

    func verify() throws(MicroError) {
        if let fence, let seen = shard.contents.fences[key], fence < seen {
            throw StoreRefusal.staleFence(key.string, fence, seen: seen)
        }
        if case .any = condition { return }
        let found = present?.version
        guard condition.holds(for: found) else {
            throw StoreRefusal.conflict(key.string, condition, found: found)
        }
    }

    func add(to growth: inout MemoryStoreJournal.Growth) {
        let old = present
        growth.entries += (entry == nil ? 0 : 1) - (old == nil ? 0 : 1)
        growth.bytes += (entry?.size ?? 0) - (old?.size ?? 0)
        if fence != nil, shard.contents.fences[key] == nil { growth.fences += 1 }
    }

    func apply() {
        if let fence { shard.contents.fences[key] = fence }
        if let entry { shard.contents.put(entry) } else { shard.contents.remove(key) }
    }
}
