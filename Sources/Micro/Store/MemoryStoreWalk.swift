/// A walk over the keys of one shard, read part by part. One that doesn't know its next key comes
/// first, to be read on.
struct MemoryStoreWalk: Comparable {
    private let shard: MemoryStoreShard
    private var known = Fifo<ExactKey>()
    /// Where the next part begins; nil: there is none.
    private var rest: ExactKey?

    init(of shard: MemoryStoreShard, from start: ExactKey) {
        self.shard = shard
        self.rest = start
    }

    var isOver: Bool { known.isEmpty && rest == nil }

    mutating func popFirst() -> ExactKey? { known.popFirst() }

    /// Looks at some more keys.
    mutating func readOn(_ query: StoreQuery, now: EventLoopClock.Instant) {
        guard let start = rest else { return }
        rest = nil
        let after = query.after.map { ExactKey($0) }
        var budget = 512
        var found = Fifo<ExactKey>()
        shard.locked {
            let entries = shard.contents.entries
            shard.contents.keys.walk(from: start) { key in
                guard key.string.hasExactPrefix(query.prefix) else { return false }
                guard budget > 0, found.count < 64 else {
                    rest = key
                    return false
                }
                budget -= 1
                if let after, key <= after { return true }
                if key.string.hasExactSuffix(query.suffix), entries[key]?.isOver(at: now) == false {
                    found.append(key)
                }
                return true
            }
        }
        known = found
    }

    static func < (lhs: MemoryStoreWalk, rhs: MemoryStoreWalk) -> Bool {
        guard let left = lhs.known.first else { return rhs.known.first != nil }
        guard let right = rhs.known.first else { return false }
        return left < right
    }

    static func == (lhs: MemoryStoreWalk, rhs: MemoryStoreWalk) -> Bool {
        lhs.known.first == rhs.known.first
    }
}
