internal import Micro
internal import Synchronization

/// The broker of a world as a process sees it.
final class ProcessBroker: Broker {
    private let inner: any Broker
    private let reach: Reach
    /// In the order of their making.
    private let sources = Mutex<[ProcessSubscription]>([])

    init(_ inner: any Broker, _ reach: Reach) {
        self.inner = inner
        self.reach = reach
    }

    var name: String { inner.name }
    var codecs: Codecs { inner.codecs }
    var environment: Environment { reach.environment }

    func publish(_ message: Message, timeout: Duration) async throws -> PublishReceipt {
        try await reach.check("the broker")
        return try await inner.publish(message, timeout: timeout)
    }

    func subscribe(
        _ pattern: TopicPattern, group: String?, options: SubscriptionOptions
    ) async throws -> Subscription {
        try await reach.check("the broker")
        let subscription = try await inner.subscribe(pattern, group: group, options: options)
        let source = ProcessSubscription(subscription, reach)
        sources.withLock { $0.append(source) }
        return Subscription(
            pattern: pattern, group: group, options: options, broker: self, source: source)
    }

    func close(timeout: Duration) async {
        for source in takeSources() { await source.unsubscribe(timeout: timeout) }
    }

    private func takeSources() -> [ProcessSubscription] {
        sources.withLock { sources in
            defer { sources = [] }
            return sources
        }
    }

    /// The process has died: what it had goes to the other members of its groups.
    func processDied(in environment: Environment) {
        for source in takeSources() {
            environment.spawn { await source.unsubscribe(timeout: .zero) }
        }
    }
}

private final class ProcessSubscription: SubscriptionSource {
    private let inner: Mutex<Subscription?>
    private let reach: Reach

    init(_ inner: Subscription, _ reach: Reach) {
        self.inner = Mutex(inner)
        self.reach = reach
    }

    private var subscription: Subscription? { inner.withLock { $0 } }

    var dropped: UInt64 { subscription?.dropped ?? 0 }

    func next() async throws -> Delivery? {
        guard let delivery = try await subscription?.next() else { return nil }
        try await reach.pass()
        return delivery
    }

    func unsubscribe(timeout: Duration) async { await subscription?.unsubscribe(timeout: timeout) }

    func abandon() { inner.withLock { $0 = nil } }
}

/// The store of a world as a process sees it.
struct ProcessStore: Store {
    let inner: any Store
    let reach: Reach

    var name: String { inner.name }
    var codecs: Codecs { inner.codecs }
    var environment: Environment { reach.environment }

    func record(_ key: String) async throws -> StoreRecord? {
        try await reach.check("the store")
        return try await inner.record(key)
    }

    func commit(_ batch: StoreBatch) async throws -> StoreCommit {
        try await reach.check("the store")
        return try await inner.commit(batch)
    }

    func list(_ query: StoreQuery) async throws -> StorePage {
        try await reach.check("the store")
        return try await inner.list(query)
    }

    func changes(prefix: String, from revision: UInt64?) async throws -> StoreChanges {
        try await reach.check("the store")
        return try await inner.changes(prefix: prefix, from: revision)
    }

    func close() async {}
}

/// The locks of a world as a process sees them.
struct ProcessSync: Sync {
    let inner: any Sync
    let reach: Reach

    var name: String { inner.name }
    var environment: Environment { reach.environment }

    func acquire(_ name: String, ttl: Duration, timeout: Duration?) async throws -> Lease {
        try await reach.check("the locks")
        return try await inner.acquire(name, ttl: ttl, timeout: timeout)
    }

    func renew(_ lease: Lease) async throws -> Lease {
        try await reach.check("the locks")
        return try await inner.renew(lease)
    }

    func release(_ lease: Lease) async throws {
        try await reach.check("the locks")
        try await inner.release(lease)
    }

    func holder(of name: String) async throws -> LeaseHolder? {
        try await reach.check("the locks")
        return try await inner.holder(of: name)
    }

    func close() async {}
}
