public import Logging
public import Micro
internal import Synchronization

/// A register in etcd, for services on many machines.
///
/// A node is a key, "/prefix/namespace/service/id", whose value is the node as JSON and which ends
/// with a lease of its own. A heartbeat keeps the lease alive. A node that etcd has lost, because
/// its lease ended while the process stood still, or because etcd was restarted without its data,
/// enters again by itself, as soon as that is noticed.
///
/// While etcd is away, watches keep what they knew and say that they are interrupted; calls fail
/// within ``EtcdOptions/timeout``; nothing waits longer.
public final class EtcdRegister: Register {
    private let client: EtcdClient
    private let environment: Environment
    private let logger: Logger
    private let closeTimeout: Duration
    private let reader: RegisterReader
    private let numbering = RegisterNumbering()
    private let state = Mutex(State())

    private struct State {
        var nodes: [String: AnnouncedNode] = [:]
        /// When there are so many nodes, those that nobody announces any more are dropped.
        var pruneCount = 64
        var watches: [EtcdKeyRange: RegisterWatch] = [:]
        var isClosed = false
    }

    /// "etcd".
    public var name: String { "etcd" }

    /// What makes registers of "etcd:" and "etcds:" URLs:
    /// `options.registerEngines = EtcdRegister.engines`.
    public static var engines: [String: RegisterFactory] {
        let make: RegisterFactory = { url, environment in
            try EtcdRegister(url: url.description, environment: environment)
        }
        return ["etcd": make, "etcds": make]
    }

    /// The prefix of keys when the URL names none: "/micro/register".
    public static let standardPrefix = "/micro/register"

    /// A register that connects when it is first used.
    ///
    /// - Parameters:
    ///   - options: Where etcd is. Without a ``EtcdOptions/keyPrefix``, ``standardPrefix`` is used.
    ///   - environment: Its clock, its loops.
    public init(
        _ options: EtcdOptions, environment: Environment = .current,
        logger: Logger = Logger(label: "micro.register")
    ) {
        var options = options
        while options.keyPrefix.hasSuffix("/") { options.keyPrefix.removeLast() }
        if options.keyPrefix.isEmpty { options.keyPrefix = Self.standardPrefix }
        let client = EtcdClient(options, environment: environment, logger: logger)
        self.client = client
        self.environment = environment
        self.logger = logger
        self.closeTimeout = min(options.timeout, .seconds(2))
        self.reader = RegisterReader(client: client, logger: logger)
    }

    /// A register from a URL: "etcd://host:2379,host2:2379/prefix?user=name&password=secret". See
    /// ``EtcdOptions/init(url:)``.
    ///
    /// - Throws: ``MicroError`` `invalidArgument`.
    public convenience init(url: String, environment: Environment = .current) throws {
        self.init(try EtcdOptions(url: url), environment: environment)
    }

    deinit {
        let state = state.withLock { $0 }
        for node in state.nodes.values { node.stopGuarding() }
        for watch in state.watches.values { watch.stop() }
        client.stop()
    }

    /// "etcd at 10.0.0.1:2379,10.0.0.2:2379".
    public func describe() -> String { client.describe() }

    /// How many values were read that are no nodes, and skipped: a key that is not
    /// "/namespace/service/id", what is no JSON of a node, a node that ``ServiceNode/validate()``
    /// refuses. It is also `micro_register_skipped_total`, and watches warn of it in the log.
    public var skippedValues: Int { reader.skipped }

    /// See ``Register/register(_:ttl:)``. The time to live is rounded up to seconds, and etcd gives
    /// 2 s at least.
    public func register(_ node: ServiceNode, ttl: Duration) async throws {
        try node.validate()
        try RegisterName.checkTTL(ttl)
        try await announced(node).announce(node, ttl: ttl)
    }

    /// See ``Register/deregister(_:)``.
    public func deregister(_ node: ServiceNode) async throws {
        let key = RegisterKeys.key(of: node)
        let announced = try state.withLock { state in
            try check(state)
            return state.nodes[key]
        }
        guard let announced else { return }
        try await announced.leave()
        state.withLock { state in
            if state.nodes[key] === announced, announced.isGone { state.nodes[key] = nil }
        }
    }

    /// See ``Register/lookup(_:namespace:)``.
    public func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] {
        try RegisterName.check(service, "service")
        return try await nodes(service, namespace: namespace)
            .filter { $0.service == service }.sorted(by: ServiceRecord.order)
    }

    /// See ``Register/list(namespace:)``.
    public func list(namespace: String) async throws -> [ServiceRecord] {
        ServiceRecord.grouping(try await nodes(nil, namespace: namespace))
    }

    /// See ``Register/watch(_:namespace:)``.
    public func watch(_ service: String?, namespace: String) -> RegisterEvents {
        let isValid =
            service.map(RegisterName.isValid) ?? true
            && (namespace == RegisterNamespace.wildcard || RegisterName.isValid(namespace))
        let range =
            isValid
            ? RegisterKeys.range(service: service, namespace: namespace) : .key("no such node")
        return state.withLock { state in
            let watch =
                state.watches[range]
                ?? RegisterWatch(
                    range, client: client, reader: reader, numbering: numbering,
                    environment: environment)
            if state.isClosed { watch.feed.finish() }
            let events = watch.feed.watch(service, namespace: namespace, keeping: self)
            guard !state.isClosed else { return events }
            state.watches[range] = watch
            // Under the lock: it either is found here, or has ended before.
            watch.start { [weak self] in self?.end(range, watch) ?? true }
            return events
        }
    }

    /// See ``Register/close()``. Takes 2 s at most, also when etcd is away: then the nodes end with
    /// their time to live.
    public func close() async {
        let (nodes, watches) = state.withLock { state in
            state.isClosed = true
            defer { (state.nodes, state.watches) = ([:], [:]) }
            return (state.nodes.values, state.watches.values)
        }
        for watch in watches { watch.close() }
        // Not cancelled with the task that closes: the nodes have to go.
        let leaving = Context.unbound {
            environment.spawn { [environment, closeTimeout] in
                try? await withTimeout(
                    closeTimeout, on: environment.clock, "register.etcd", "taking the nodes out"
                ) {
                    await withTaskGroup(of: Void.self) { group in
                        for node in nodes { group.addTask { try? await node.leave() } }
                    }
                }
            }
        }
        await leaving.wait()
        await client.close()
    }

    private func check(_ state: borrowing State) throws {
        guard !state.isClosed else {
            throw MicroError("register.etcd", .unavailable, "\(describe()) is closed")
        }
    }

    private func announced(_ node: ServiceNode) throws -> AnnouncedNode {
        let key = RegisterKeys.key(of: node)
        return try state.withLock { state in
            try check(state)
            if let known = state.nodes[key] { return known }
            if state.nodes.count >= state.pruneCount {
                state.nodes = state.nodes.filter { !$0.value.isOver }
                state.pruneCount = max(64, state.nodes.count * 2)
            }
            let announced = AnnouncedNode(
                key: key, client: client, environment: environment, logger: logger)
            state.nodes[key] = announced
            return announced
        }
    }

    private func nodes(_ service: String?, namespace: String) async throws -> [ServiceNode] {
        try RegisterName.checkQuery(namespace: namespace)
        try state.withLock { try check($0) }
        let range = RegisterKeys.range(service: service, namespace: namespace)
        return try await reader.read(range, skippingAt: .debug).nodes
    }

    private func end(_ range: EtcdKeyRange, _ watch: RegisterWatch) -> Bool {
        state.withLock { state in
            guard watch.endIfUnwatched() else { return false }
            if state.watches[range] === watch { state.watches[range] = nil }
            return true
        }
    }
}
