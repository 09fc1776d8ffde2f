internal import Synchronization

/// Locks whose records are in a ``Store``: between the processes of a machine in a `SQLiteStore`,
/// between machines in a database.
///
/// The token of a lease is the revision of the commit that took the lock, so tokens grow as long as
/// the store lives. The store's clock ends a lease; its holder counts from before the request was
/// sent, and so never longer. Waiters stand in a queue of tickets, which end by themselves when
/// their process dies; only the first one tries. What excludes others is the record of the lock
/// alone: the queue is only for the order.
public final class StoreSync: Sync {
    /// How it waits.
    public struct Options: Sendable {
        /// How many may wait for one lock. Default 10,000.
        public var maxWaiters = 10_000

        /// How long a waiter that died holds up those behind it. It lets the store know three times
        /// as often. Default 10 seconds.
        public var ticketTTL = Duration.seconds(10)

        /// How long a waiter relies on the store's watch before it looks for itself. Default 5
        /// seconds.
        public var pollInterval = Duration.seconds(5)

        /// What others see of who holds a lock: see ``LeaseHolder/label``. Default empty.
        public var label = ""

        /// Whether ``StoreSync/close()`` closes the store, too. Default false.
        public var closesStore = false

        /// All as said above.
        public init() {}
    }

    /// That of the store.
    public var name: String { store.name }

    /// That of the store.
    public var environment: Environment { store.environment }

    let store: any Store
    let options: Options
    let closing = Latch<Void>()
    /// The leases of this object, by their owner.
    private let held = Mutex<[String: Lease]>([:])

    /// Makes locks in a store. What is in its table "sync" belongs to them.
    public init(_ store: any Store, options: Options = Options()) {
        self.store = store
        self.options = options
    }

    /// Waits for the lock, and takes it. See ``Sync``.
    public func acquire(_ name: String, ttl: Duration, timeout: Duration?) async throws -> Lease {
        try SyncRefusal.check(name, ttl: ttl)
        try checkOpen()
        let wish = StoreLockWish(
            keys: StoreLockKeys(name), ttl: ttl, owner: newOwner(), sync: self,
            deadline: timeout.map { environment.clock.now.advanced(by: max(.zero, $0)) })
        let lease = try await wish.fulfil()
        held.withLock { $0[lease.owner] = lease }
        guard !Task.isCancelled, !closing.isOpen else {
            // It came in the same moment: who is cancelled doesn't look at leases.
            await environment.uncancelled { try? await self.giveBack(lease) }
            try Task.checkCancellation()
            throw SyncRefusal.closed
        }
        return lease
    }

    /// Makes a lease live longer. See ``Sync``.
    public func renew(_ lease: Lease) async throws -> Lease {
        if closing.isOpen { throw SyncRefusal.lost(lease) }
        var sent = environment.clock.now
        try await change(lease) { version in
            sent = environment.clock.now
            try await store.write(
                StoreLockRecord(
                    owner: lease.owner, token: lease.token, label: options.label),
                at: StoreLockKeys(lease.name).lock, ttl: lease.ttl, if: .version(version))
        }
        return Lease(
            name: lease.name, token: lease.token, owner: lease.owner, ttl: lease.ttl,
            expiry: sent.advanced(by: lease.ttl), clock: lease.clock)
    }

    /// Gives the lock back. See ``Sync``.
    public func release(_ lease: Lease) async throws {
        if closing.isOpen { throw SyncRefusal.lost(lease) }
        try await giveBack(lease)
    }

    /// Who holds the lock now. See ``Sync``.
    public func holder(of name: String) async throws -> LeaseHolder? {
        try SyncRefusal.check(name)
        try checkOpen()
        let found = try await store.record(StoreLockKeys(name).lock, as: StoreLockRecord.self)
        return found.map {
            LeaseHolder(
                name: name, token: $0.value.token ?? $0.version, label: $0.value.label)
        }
    }

    /// Ends the leases that this object gave, and fails who waits. See ``Sync``.
    public func close() async {
        guard !closing.isOpen else { return }
        closing.open()
        let leases = held.withLock { $0.values.sorted { $0.token < $1.token } }
        await environment.uncancelled { [options, store] in
            for lease in leases { try? await self.giveBack(lease) }
            if options.closesStore { await store.close() }
        }
    }

    func checkOpen() throws(MicroError) { if closing.isOpen { throw SyncRefusal.closed } }

    private func giveBack(_ lease: Lease) async throws {
        held.withLock { $0[lease.owner] = nil }
        try await change(lease) { version in
            try await store.delete(StoreLockKeys(lease.name).lock, if: .version(version))
        }
    }

    /// Changes the record of a lock while it is that of the lease.
    ///
    /// - Throws: ``MicroError``: `failedPrecondition` when it isn't; what the store throws.
    private func change(_ lease: Lease, _ body: (UInt64) async throws -> Void) async throws {
        while true {
            let found = try await store.record(
                StoreLockKeys(lease.name).lock, as: StoreLockRecord.self)
            guard let found, found.value.owner == lease.owner,
                found.value.token ?? found.version == lease.token
            else { throw SyncRefusal.lost(lease) }
            do {
                return try await body(found.version)
            } catch let error as MicroError where error.reason == "VERSION_CONFLICT" {
                continue  // Changed twice at once, or lost: it is looked up again.
            }
        }
    }

    private func newOwner() -> String {
        String(environment.random(), radix: 16) + String(environment.random(), radix: 16)
    }
}

extension Environment {
    /// Runs `body`, and waits for its end, also in a task that is cancelled.
    func uncancelled(_ body: @escaping @Sendable () async -> Void) async {
        await spawn(body).wait()
    }
}
