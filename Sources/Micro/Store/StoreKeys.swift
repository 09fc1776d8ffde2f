/// Keys of a store in order, fetched page by page as they are taken.
public struct StoreKeys: AsyncSequence, Sendable {
    let store: any Store
    let query: StoreQuery
    let limit: Int?

    /// Starts at the beginning.
    public func makeAsyncIterator() -> Iterator {
        Iterator(store: store, query: query, remaining: limit ?? .max)
    }

    /// Iterates keys.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        private let store: any Store
        private var query: StoreQuery
        private var remaining: Int
        private var page = Fifo<String>()
        private var isLast = false

        init(store: any Store, query: StoreQuery, remaining: Int) {
            self.store = store
            self.query = query
            self.remaining = remaining
        }

        /// The next key; nil when there is none.
        ///
        /// - Throws: As ``Store/list(_:)``.
        public mutating func next() async throws -> String? {
            guard remaining > 0 else { return nil }
            while page.isEmpty {
                if isLast { return nil }
                query.limit = Swift.min(remaining, 256)
                let fetched = try await store.list(query)
                for key in fetched.keys { page.append(key) }
                query.after = fetched.next
                isLast = fetched.next == nil
            }
            remaining -= 1
            return page.popFirst()
        }
    }
}
