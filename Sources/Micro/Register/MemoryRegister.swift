internal import Synchronization

/// A register within this process: for tests, and for services that are one program.
///
/// Nodes are forgotten when their time on the environment's clock is up, exactly then: it works the
/// same in a simulation.
public final class MemoryRegister: Register {
    private let environment: Environment
    private let feed: RegisterFeed
    private let pruner = Mutex(Pruner())

    private struct Pruner {
        var task: SpawnedTask?
        /// When the task looks next; nil when there is none.
        var wake: EventLoopClock.Instant?
        var generation: UInt64 = 0
    }

    /// "memory".
    public var name: String { "memory" }

    /// An empty register.
    ///
    /// - Parameter environment: Whose clock decides when nodes are forgotten.
    public init(environment: Environment = .current) {
        self.environment = environment
        self.feed = RegisterFeed(isTable: true, isLoaded: true)
    }

    deinit { pruner.withLock { $0.task.take() }?.cancel() }

    /// "the memory register of this process".
    public func describe() -> String { "the memory register of this process" }

    /// See ``Register/register(_:ttl:)``.
    public func register(_ node: ServiceNode, ttl: Duration) async throws {
        try node.validate()
        try RegisterName.checkTTL(ttl)
        let now = environment.clock.now
        let expiry = now.advanced(by: ttl)
        try update { table, changes in
            changes = table.expire(now: now)
            changes += table.register(node, until: expiry)
        }
        prune(at: expiry)
    }

    /// See ``Register/deregister(_:)``.
    public func deregister(_ node: ServiceNode) async throws {
        try update { table, changes in changes = table.deregister(node.key) }
    }

    /// See ``Register/lookup(_:namespace:)``.
    public func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] {
        try RegisterName.check(service, "service")
        return try nodes(RegisterFilter(service: service, namespace: namespace))
    }

    /// See ``Register/list(namespace:)``.
    public func list(namespace: String) async throws -> [ServiceRecord] {
        ServiceRecord.grouping(try nodes(RegisterFilter(service: nil, namespace: namespace)))
    }

    /// See ``Register/watch(_:namespace:)``.
    public func watch(_ service: String?, namespace: String) -> RegisterEvents {
        feed.watch(service, namespace: namespace, keeping: self)
    }

    /// See ``Register/close()``.
    public func close() async {
        feed.finish()
        let task = pruner.withLock { pruner in
            pruner.generation += 1
            pruner.wake = nil
            return pruner.task.take()
        }
        task?.cancel()
    }

    private func nodes(_ filter: RegisterFilter) throws -> [ServiceNode] {
        try RegisterName.checkQuery(namespace: filter.namespace)
        let now = environment.clock.now
        return try update { table, changes in
            changes = table.expire(now: now)
            return table.nodes(filter)
        }
    }

    private func update<T: Sendable>(
        _ body: (inout RegisterTable, inout [RegisterEvent.Change]) -> T
    ) throws -> T {
        guard let result = feed.withTable(body) else { throw closedError }
        return result
    }

    // MARK: Forgetting

    /// Sees to it that somebody looks at `expiry`.
    private func prune(at expiry: EventLoopClock.Instant) {
        let (generation, former) = pruner.withLock { pruner -> (UInt64?, SpawnedTask?) in
            if let wake = pruner.wake, wake <= expiry { return (nil, nil) }
            pruner.wake = expiry
            pruner.generation += 1
            return (pruner.generation, pruner.task.take())
        }
        former?.cancel()
        guard let generation else { return }
        let task = environment.spawn { [weak self, clock = environment.clock] in
            var next = Optional(expiry)
            while let wake = next {
                do { try await clock.sleep(until: wake) } catch { return }
                next = self?.forget(generation)
            }
        }
        let isCurrent = pruner.withLock { pruner in
            guard pruner.generation == generation, pruner.wake != nil else { return false }
            pruner.task = task
            return true
        }
        if !isCurrent { task.cancel() }
    }

    /// Forgets the nodes whose time is up; returns when to look again.
    private func forget(_ generation: UInt64) -> EventLoopClock.Instant? {
        let now = environment.clock.now
        // The table is asked under the pruner's lock: a node that comes now is either seen here, or
        // finds no wake-up and starts the next task.
        return pruner.withLock { pruner in
            guard pruner.generation == generation else { return nil }
            let next: EventLoopClock.Instant?? = feed.withTable { table, changes in
                changes = table.expire(now: now)
                return table.nextExpiry
            }
            pruner.wake = next ?? nil
            if pruner.wake == nil { pruner.task = nil }
            return pruner.wake
        }
    }
}
