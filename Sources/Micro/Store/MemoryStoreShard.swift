internal import Synchronization

/// A part of the records of a ``MemoryStore``, chosen by the hash of the key.
final class MemoryStoreShard: Sendable {
    struct Contents {
        var entries: [ExactKey: MemoryStoreEntry] = [:]
        var keys = SortedKeys()
        /// The highest token that each key was written under. They outlive the records.
        var fences: [ExactKey: UInt64] = [:]
        /// Whether something in it has ever had a time to live.
        private(set) var hasExpiring = false
        private var uses: UInt64 = 0

        mutating func use(_ entry: MemoryStoreEntry) {
            uses &+= 1
            entry.lastUse = uses
        }

        mutating func put(_ entry: MemoryStoreEntry) {
            if entries.updateValue(entry, forKey: entry.key) == nil { keys.insert(entry.key) }
            hasExpiring = hasExpiring || entry.expiry != nil
            use(entry)
        }

        mutating func remove(_ key: ExactKey) {
            if entries.removeValue(forKey: key) != nil { keys.remove(key) }
        }

        /// Of some keys drawn at random, the one that was used least lately.
        func leastLatelyUsed(of draws: [UInt64], besides batch: StoreBatch) -> MemoryStoreEntry? {
            draws.compactMap { keys.any($0) }
                .filter { key in !batch.operations.contains { ExactKey($0.key) == key } }
                .compactMap { entries[$0] }
                .min { $0.lastUse < $1.lastUse }
        }
    }

    /// In the order in which shards are locked.
    let place: Int
    private let lock = Mutex(())

    @exclusivity(unchecked)
    nonisolated(unsafe) var contents = Contents()  // For who has the shard locked.

    init(place: Int) { self.place = place }

    /// Runs `body` while all of `shards`, which are in the order of the store, are locked.
    static func locked<T: Sendable, E: Error>(
        _ shards: ArraySlice<MemoryStoreShard>, _ body: () throws(E) -> T
    ) throws(E) -> T {
        guard let first = shards.first else { return try body() }
        return try first.lock.withLock { _ throws(E) in
            try shards.count == 1 ? body() : locked(shards.dropFirst(), body)
        }
    }

    /// Runs `body` while the shard is locked.
    @inline(__always)
    func locked<T: Sendable, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
        try lock.withLock { _ throws(E) in try body() }
    }
}
