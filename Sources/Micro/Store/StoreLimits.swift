/// What a store holds at most. The defaults are those of a ``MemoryStore``.
public struct StoreLimits: Sendable, Hashable {
    /// How many records, and how many keys with a fencing token. Default 1,000,000.
    public var entries: Int

    /// The sum of keys, values and metadata, in bytes. Default 256 MiB.
    public var bytes: Int

    /// The longest key, in bytes of UTF-8. Default 1,024.
    public var keyBytes: Int

    /// The largest value, in bytes. Default 4 MiB.
    public var valueBytes: Int

    /// How many operations and checks a batch may have. Default 1,000.
    public var batch: Int

    /// How many changes are remembered for watches. Default 10,000.
    public var changes: Int

    /// The bytes of the changes that are remembered. Default 32 MiB.
    public var changeBytes: Int

    /// What happens when a write would exceed ``entries`` or ``bytes``. Default: it is refused.
    public var whenFull: WhenFull

    /// What happens when a store is full.
    public enum WhenFull: Sendable, Hashable {
        /// The write is refused with `resourceExhausted`: nothing is lost.
        case refuse
        /// For caches: records are taken out until there is room, each time the one of eight drawn
        /// at random that was used least lately. Watches see them expire.
        case evictLeastRecentlyUsed
    }

    /// Makes limits.
    public init(
        entries: Int = 1_000_000, bytes: Int = 256 << 20, keyBytes: Int = 1024,
        valueBytes: Int = 4 << 20, batch: Int = 1_000, changes: Int = 10_000,
        changeBytes: Int = 32 << 20, whenFull: WhenFull = .refuse
    ) {
        self.entries = entries
        self.bytes = bytes
        self.keyBytes = keyBytes
        self.valueBytes = valueBytes
        self.batch = batch
        self.changes = changes
        self.changeBytes = changeBytes
        self.whenFull = whenFull
    }

    static var emptyKey: MicroError { .invalid("store.key", "the key is empty", at: "key") }

    package func check(key: String) throws(MicroError) {
        guard !key.isEmpty else { throw StoreLimits.emptyKey }
        guard key.utf8.count <= keyBytes else {
            throw .invalid(
                "store.key", "the key has \(key.utf8.count) bytes, and \(keyBytes) is the limit",
                at: "key")
        }
        guard !key.hasNUL else {
            throw .invalid("store.key", "the key has a NUL", at: "key")
        }
    }

    package func check(_ batch: StoreBatch) throws(MicroError) {
        let size = batch.checks.count + batch.operations.count
        guard size <= self.batch else {
            throw .invalid(
                "store.commit",
                "the batch has \(size) checks and operations, and \(self.batch) is the limit")
        }
        for item in batch.checks { try check(key: item.key) }
        for operation in batch.operations {
            try check(key: operation.key)
            try check(fence: operation.fence)
            if case .write(let write) = operation { try check(write) }
        }
        if batch.operations.count > 1 { try checkDistinct(batch.operations) }
    }

    private func checkDistinct(_ operations: [StoreBatch.Operation]) throws(MicroError) {
        var seen: Set<ExactKey> = []
        for operation in operations where !seen.insert(ExactKey(operation.key)).inserted {
            throw .invalid(
                "store.commit", "the batch changes \"\(operation.key)\" twice", at: "key")
        }
    }

    private func check(fence: UInt64?) throws(MicroError) {
        guard let fence, !(1...UInt64(Int64.max)).contains(fence) else { return }
        throw .invalid(
            "store.write", "the token is \(fence): it must be 1 to \(Int64.max)", at: "fencedBy")
    }

    private func check(_ write: StoreBatch.Write) throws(MicroError) {
        guard write.value.count <= valueBytes else {
            throw .payloadTooLarge(
                "store.write",
                "the value of \"\(write.key)\" has \(write.value.count) bytes, and \(valueBytes) is "
                    + "the limit")
        }
        if let timeToLive = write.timeToLive, timeToLive <= .zero {
            throw .invalid(
                "store.write",
                "the time to live of \"\(write.key)\" is \(timeToLive): it must be more than zero",
                at: "ttl")
        }
        try write.metadata.validate()
    }
}
