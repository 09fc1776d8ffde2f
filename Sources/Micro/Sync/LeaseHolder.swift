/// Who holds a lock, or leads, as others see it.
public struct LeaseHolder: Sendable, Hashable {
    /// Of the lock.
    public let name: String

    /// The token of the lease.
    public let token: UInt64

    /// What the holder calls itself, for people: "host:pid". Empty: it doesn't say.
    public let label: String

    /// Makes a holder: for those who implement ``Sync``.
    public init(name: String, token: UInt64, label: String = "") {
        self.name = name
        self.token = token
        self.label = label
    }
}

extension Sync {
    /// Who leads a role now; nil: nobody. See ``Sync/withLeadership(of:ttl:_:)``.
    ///
    /// - Throws: ``MicroError``: as ``holder(of:)``.
    public func leader(of role: String) async throws -> LeaseHolder? {
        try await holder(of: leadershipLock(role))
    }

    /// Who holds a lock, each time that it is somebody else: a sequence that begins with who holds
    /// it now, and has nil while it is free.
    ///
    /// It asks; who holds it for less than `interval` may not be seen.
    /// - Parameter interval: How long between two questions. Default 1 second.
    public func holders(
        of name: String, every interval: Duration = .seconds(1)
    ) -> LeaseHolders {
        LeaseHolders(sync: self, name: name, interval: interval)
    }

    /// Who leads a role, each time that it is somebody else. See ``holders(of:every:)``.
    public func leaders(
        of role: String, every interval: Duration = .seconds(1)
    ) -> LeaseHolders {
        holders(of: leadershipLock(role), every: interval)
    }
}

/// Roles and locks of the same name are apart.
func leadershipLock(_ role: String) -> String { "$leader/" + role }

/// Who holds a lock, as it changes. See ``Sync/holders(of:every:)``.
public struct LeaseHolders: AsyncSequence, Sendable {
    let sync: any Sync
    let name: String
    let interval: Duration

    /// Begins with who holds it now.
    public func makeAsyncIterator() -> Iterator { Iterator(holders: self) }

    /// Iterates holders.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        private let holders: LeaseHolders
        /// nil: nothing was seen so far.
        private var seen: LeaseHolder??

        init(holders: LeaseHolders) { self.holders = holders }

        /// The next holder; `.some(nil)` when nobody holds it. It does not end.
        ///
        /// - Throws: ``MicroError``: as ``Sync/holder(of:)``; the next call asks again.
        ///   `CancellationError`.
        public mutating func next() async throws -> LeaseHolder?? {
            while true {
                let holder = try await holders.sync.holder(of: holders.name)
                guard let seen, seen?.token == holder?.token else {
                    self.seen = .some(holder)
                    return .some(holder)
                }
                try await holders.sync.environment.clock.sleep(for: holders.interval)
            }
        }
    }
}
