/// A sorted set of keys: chunks of a bounded size, so that an insertion moves little, and a scan
/// from any key is a walk.
struct SortedKeys: Sendable {
    private static let chunkLimit = 512

    private var chunks: [[ExactKey]] = []
    private(set) var count = 0

    mutating func insert(_ key: ExactKey) {
        guard !chunks.isEmpty else {
            chunks = [[key]]
            count = 1
            return
        }
        let index = chunk(of: key)
        let position = SortedKeys.position(of: key, in: chunks[index])
        if position < chunks[index].count, chunks[index][position] == key { return }
        chunks[index].insert(key, at: position)
        count += 1
        guard chunks[index].count > SortedKeys.chunkLimit else { return }
        let half = chunks[index].count / 2
        let upper = Array(chunks[index][half...])
        chunks[index].removeLast(chunks[index].count - half)
        chunks.insert(upper, at: index + 1)
    }

    mutating func remove(_ key: ExactKey) {
        guard !chunks.isEmpty else { return }
        let index = chunk(of: key)
        let position = SortedKeys.position(of: key, in: chunks[index])
        guard position < chunks[index].count, chunks[index][position] == key else { return }
        chunks[index].remove(at: position)
        count -= 1
        if chunks[index].isEmpty { chunks.remove(at: index) }
    }

    /// Walks up from `start` until `body` returns false.
    func walk(from start: ExactKey, _ body: (ExactKey) -> Bool) {
        guard !chunks.isEmpty else { return }
        var index = chunk(of: start)
        var position = SortedKeys.position(of: start, in: chunks[index])
        while index < chunks.count {
            while position < chunks[index].count {
                guard body(chunks[index][position]) else { return }
                position += 1
            }
            index += 1
            position = 0
        }
    }

    /// One of the keys, drawn by a random number, each with about the same chance.
    func any(_ random: UInt64) -> ExactKey? {
        guard !chunks.isEmpty else { return nil }
        let chunk = chunks[Int(random >> 32) % chunks.count]
        return chunk[Int(random & 0xFFFF_FFFF) % chunk.count]
    }

    /// The chunk that `key` is in, or would be.
    private func chunk(of key: ExactKey) -> Int {
        var low = 0
        var high = chunks.count
        while low < high {
            let middle = (low + high) / 2
            // Chunks are never empty.
            if chunks[middle][0] <= key { low = middle + 1 } else { high = middle }
        }
        return max(0, low - 1)
    }

    /// The first position in `chunk` whose key isn't below `key`.
    private static func position(of key: ExactKey, in chunk: [ExactKey]) -> Int {
        var low = 0
        var high = chunk.count
        while low < high {
            let middle = (low + high) / 2
            if chunk[middle] < key { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
