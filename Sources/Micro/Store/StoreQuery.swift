/// Which keys to list. They are filtered, then sorted by their UTF-8, then cut into pages.
public struct StoreQuery: Sendable, Hashable {
    /// What the keys begin with; "" for all.
    public var prefix: String

    /// What the keys end with; "" for all.
    public var suffix: String

    /// Only keys after this one: where the last page ended. nil: from the beginning.
    public var after: String?

    /// How many keys at most: 1 to 10,000.
    public var limit: Int

    /// The largest ``limit``.
    public static let limitMax = 10_000

    /// Makes a query.
    public init(prefix: String = "", suffix: String = "", after: String? = nil, limit: Int = 100) {
        self.prefix = prefix
        self.suffix = suffix
        self.after = after
        self.limit = limit
    }

    /// Checks the limit: for those who implement ``Store``.
    ///
    /// - Throws: ``MicroError``, `invalidArgument`.
    public func validate() throws(MicroError) {
        guard (1...StoreQuery.limitMax).contains(limit) else {
            throw .invalid(
                "store.list", "limit is \(limit): it must be 1 to \(StoreQuery.limitMax)",
                at: "limit")
        }
    }
}

/// Keys, and where to go on.
public struct StorePage: Sendable, Hashable {
    /// The keys in order.
    public var keys: [String]

    /// The ``StoreQuery/after`` of the next page; nil when there is none.
    public var next: String?

    /// Makes a page: for those who implement ``Store``.
    public init(keys: [String], next: String?) {
        self.keys = keys
        self.next = next
    }
}
