internal import Micro
internal import Synchronization

/// The register of a world: a process of its own, which can be down and can lose its memory.
final class RegisterServer: Sendable {
    private let environment: Environment
    private let state: Mutex<State>

    private struct State {
        var memory: MemoryRegister
        /// Grows when it loses what it knew.
        var epoch = 0
    }

    init(environment: Environment) {
        self.environment = environment
        self.state = Mutex(State(memory: MemoryRegister(environment: environment)))
    }

    var memory: MemoryRegister { state.withLock { $0.memory } }
    var epoch: Int { state.withLock { $0.epoch } }

    func loseEverything() {
        let fresh = MemoryRegister(environment: environment)
        let former = state.withLock { state in
            state.epoch += 1
            defer { state.memory = fresh }
            return state.memory
        }
        environment.spawn { await former.close() }
    }
}

/// The register of a world as a process sees it, over its network.
final class ProcessRegister: Register {
    private let server: RegisterServer
    private let reach: Reach
    private let feed = RegisterFeed()
    /// Rung when something about the way to the register is different, or about the register.
    private let changed = WakeUp()
    private let state = Mutex(State())

    private struct State {
        var registered: [ServiceNode.Key: ServiceNode] = [:]
        var pump: SpawnedTask?
        var watch: RegisterEvents?
        var isClosed = false
    }

    init(_ server: RegisterServer, _ reach: Reach) {
        self.server = server
        self.reach = reach
    }

    var name: String { "simulated" }
    func describe() -> String { "the register of the simulated world" }

    private func enter() async throws {
        if state.withLock({ $0.isClosed }) { throw closedError }
        try await reach.check(describe())
    }

    func register(_ node: ServiceNode, ttl: Duration) async throws {
        try await enter()
        try await server.memory.register(node, ttl: ttl)
        state.withLock { $0.registered[node.key] = node }
    }

    func deregister(_ node: ServiceNode) async throws {
        try await enter()
        try await server.memory.deregister(node)
        state.withLock { $0.registered[node.key] = nil }
    }

    func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] {
        try await enter()
        return try await server.memory.lookup(service, namespace: namespace)
    }

    func list(namespace: String) async throws -> [ServiceRecord] {
        try await enter()
        return try await server.memory.list(namespace: namespace)
    }

    func watch(_ service: String?, namespace: String) -> RegisterEvents {
        let events = feed.watch(service, namespace: namespace, keeping: self)
        let mustStart = state.withLock { state in
            guard state.pump == nil, !state.isClosed else { return false }
            state.pump = reach.environment.spawn { await self.pump() }
            return true
        }
        if !mustStart, feed.needsNodes { pathChanged() }
        return events
    }

    func close() async {
        let (nodes, pump) = state.withLock { state in
            state.isClosed = true
            defer { state.registered = [:] }
            return (state.registered.sorted { $0.key < $1.key }.map(\.value), state.pump)
        }
        pump?.cancel()
        feed.finish()
        for node in nodes where reach.isOpen { try? await server.memory.deregister(node) }
    }

    // MARK: Watching

    /// Something about the way to the register is different, or about the register.
    func pathChanged() {
        state.withLock { $0.watch }?.cancel()
        changed.ring()
    }

    private func pump() async {
        var known = server.epoch
        while !Task.isCancelled {
            if reach.isOpen {
                await follow(&known)
            } else {
                if reach.isRefused {
                    feed.interrupt(
                        MicroError("register", .unavailable, "\(describe()) is down"))
                }
                await changed.wait()
            }
        }
    }

    /// Until something is different.
    private func follow(_ known: inout Int) async {
        let epoch = server.epoch
        let events = server.memory.watch(nil, namespace: RegisterNamespace.wildcard)
        state.withLock { $0.watch = events }
        for await event in events {
            guard (try? await reach.pass()) != nil else { break }
            guard reach.isOpen, server.epoch == epoch else { break }
            apply(event.change, isAnew: epoch != known)
            known = epoch
        }
        state.withLock { $0.watch = nil }
    }

    private func apply(_ change: RegisterEvent.Change, isAnew: Bool) {
        switch change {
        case .snapshot(let nodes): feed.replace(with: nodes, isAnew: isAnew)
        case .added(let node), .updated(let node): feed.register(node)
        case .removed(let node): feed.deregister(node)
        case .interrupted(let error): feed.interrupt(error)
        }
    }
}
