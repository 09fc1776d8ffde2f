/// A batch on its way into a ``MemoryStore``. All but the making of it is for who has its shards
/// locked.
struct MemoryStoreCommit {
    typealias Shard = MemoryStoreShard

    private struct Check {
        let key: ExactKey
        let condition: WriteCondition
        let shard: Shard
    }

    private struct Step {
        let key: ExactKey
        let operation: StoreBatch.Operation
        let shard: Shard
        /// What it writes.
        var entry: MemoryStoreEntry?
    }

    private let checks: [Check]
    private var steps: [Step]

    /// - Parameter shard: Where a key is.
    init(_ batch: StoreBatch, shard: (ExactKey) -> Shard) {
        checks = batch.checks.map { check in
            let key = ExactKey(check.key)
            return Check(key: key, condition: check.condition, shard: shard(key))
        }
        steps = batch.operations.map { operation in
            let key = ExactKey(operation.key)
            return Step(key: key, operation: operation, shard: shard(key))
        }
    }

    /// What has to be locked, in order.
    var shards: [Shard] {
        if checks.isEmpty, steps.count == 1 { return [steps[0].shard] }
        var found: [Shard] = []
        for shard in checks.map(\.shard) + steps.map(\.shard)
        where !found.contains(where: { $0 === shard }) {
            found.append(shard)
        }
        return found.sorted { $0.place < $1.place }
    }

    /// Records whose time is over, which the batch would find.
    func overdue(at now: EventLoopClock.Instant) -> [MemoryStoreEntry] {
        (checks.map { ($0.key, $0.shard) } + steps.map { ($0.key, $0.shard) })
            .compactMap { key, shard in shard.contents.entries[key] }
            .filter { $0.isOver(at: now) }
    }

    /// Whether the clock matters to it.
    var hasExpiries: Bool {
        checks.contains { $0.shard.contents.entries[$0.key]?.expiry != nil }
            || steps.contains { step in
                if case .write(let write) = step.operation, write.timeToLive != nil { return true }
                return step.shard.contents.entries[step.key]?.expiry != nil
            }
    }

    // MARK: Conditions

    func verify() throws(MicroError) {
        for check in checks {
            let found = check.shard.contents.entries[check.key]?.version
            guard check.condition.holds(for: found) else {
                throw StoreRefusal.checkConflict(check.key.string, check.condition, found: found)
            }
        }
        for step in steps { try verify(step) }
    }

    private func verify(_ step: Step) throws(MicroError) {
        if let fence = step.operation.fence, let seen = step.shard.contents.fences[step.key],
            fence < seen
        {
            throw StoreRefusal.staleFence(step.key.string, fence, seen: seen)
        }
        guard step.operation.condition != .any else { return }
        let found = step.shard.contents.entries[step.key]?.version
        guard step.operation.condition.holds(for: found) else {
            throw StoreRefusal.conflict(step.key.string, step.operation.condition, found: found)
        }
    }

    // MARK: Changes

    /// Makes what is to be written.
    mutating func prepare(now: EventLoopClock.Instant) {
        for index in steps.indices {
            guard case .write(let write) = steps[index].operation else { continue }
            steps[index].entry = MemoryStoreEntry(write, key: steps[index].key, now: now)
        }
    }

    /// - Throws: ``MicroError``, `resourceExhausted`: a limit would be exceeded. Nothing has
    ///   changed then.
    func record(in journal: inout MemoryStoreJournal) throws(MicroError) -> StoreCommit {
        try journal.checkOpen("store.commit")
        try journal.reserve(growth)
        var deleted = 0
        var revision: UInt64?
        for step in steps {
            guard let entry = step.entry else {
                guard step.shard.contents.entries[step.key] != nil else { continue }
                deleted += 1
                let own = revision ?? journal.nextRevision()
                revision = own
                journal.deleted(step.key, revision: own)
                continue
            }
            let own = revision ?? journal.nextRevision()
            revision = own
            journal.written(entry, revision: own)
        }
        journal.wakeWatchers()
        return StoreCommit(revision: journal.revision, deleted: deleted)
    }

    private var growth: MemoryStoreJournal.Growth {
        var growth = MemoryStoreJournal.Growth()
        for step in steps {
            let old = step.shard.contents.entries[step.key]
            growth.entries += (step.entry == nil ? 0 : 1) - (old == nil ? 0 : 1)
            growth.bytes += (step.entry?.size ?? 0) - (old?.size ?? 0)
            if step.operation.fence != nil, step.shard.contents.fences[step.key] == nil {
                growth.fences += 1
            }
        }
        return growth
    }

    func apply() {
        for step in steps {
            if let fence = step.operation.fence { step.shard.contents.fences[step.key] = fence }
            if let entry = step.entry {
                step.shard.contents.put(entry)
            } else {
                step.shard.contents.remove(step.key)
            }
        }
    }
}
