internal import Micro

/// How a page of keys is put together of what the script finds: pure.
struct RedisStoreWalk {
    private let query: StoreQuery
    private let high: [UInt8]
    private var low: [UInt8]
    private var keys: [String] = []
    private var isOver = false

    init(_ query: StoreQuery) {
        self.query = query
        let prefix = Array(query.prefix.utf8)
        // No byte of UTF-8 is 0xFF.
        high = prefix.isEmpty ? Array("+".utf8) : Array("(".utf8) + prefix + [0xFF]
        low = Array("[".utf8) + prefix
        guard let after = query.after.map({ Array($0.utf8) }),
            !after.lexicographicallyPrecedes(prefix)
        else {
            if prefix.isEmpty { low = Array("-".utf8) }
            return
        }
        low = Array("(".utf8) + after
        isOver = !after.starts(with: prefix)  // it is behind all that could be found
    }

    /// What the script is to be asked; nil: the page is there.
    var next: [RedisArgument]? {
        // One more tells whether there is more.
        let wanted = query.limit + 1 - keys.count
        guard !isOver, wanted > 0 else { return nil }
        let most = query.suffix.isEmpty ? min(wanted + 1, Self.budget) : Self.budget
        return [
            RedisArgument(low), RedisArgument(high), RedisArgument(query.suffix),
            RedisArgument(wanted), RedisArgument(most),
        ]
    }

    /// How many keys a script looks at.
    private static let budget = 4096

    /// - Returns: Whether it is understood.
    mutating func take(_ values: [RedisValue]) -> Bool {
        guard values.count == 3, let isOver = values[0].integer, let last = values[1].bytes,
            let found = values[2].array, isOver != 0 || !last.isEmpty
        else { return false }
        for key in found {
            guard let text = key.string else { return false }
            keys.append(text)
        }
        self.isOver = isOver != 0
        low = Array("(".utf8) + last
        return true
    }

    var page: StorePage {
        guard keys.count > query.limit else { return StorePage(keys: keys, next: nil) }
        let page = Array(keys.prefix(query.limit))
        return StorePage(keys: page, next: page.last)
    }
}
