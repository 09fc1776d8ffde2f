/// A register in front of another one, which answers from memory.
///
/// What is asked for is watched from then on: the first question about a service starts one watch,
/// whoever else asks at that moment, and its answer is kept up to date by it. While the register
/// behind cannot be reached, answers are the last that were known, for ever;
/// ``state(of:namespace:)`` says how old they are. When it loses more than half of a service's
/// nodes at once, without saying that they were removed, they are held on to until each has had the
/// time for its next heartbeat.
///
/// Watches of one service share the one behind. What is written goes to the register behind, and is
/// seen here when the call returns. Safe to use from any thread.
public final class CachedRegister: Register {
    private let base: any Register
    private let follower: RegisterFollower<Void>
    private let writePatience: Duration

    /// How much is remembered, and how it is kept fresh.
    public struct Options: Sendable {
        /// How long a service that nobody asks for is remembered. 5 min.
        public var idleTimeout: Duration = .seconds(300)
        /// How long nodes are held on to that the register has lost. 90 s, the usual time to live.
        public var lostGrace: Duration = .seconds(90)
        /// How many services are remembered, each namespace apart; the ones unused for longest are
        /// forgotten, and what cannot be remembered is asked from the register behind. 4,096.
        public var servicesMax = 4096
        /// How many nodes one question may be answered with. An answer with more is not taken: it
        /// counts as an error of the register. 65,536.
        public var nodesMax = 65_536
        /// Everything is watched anew about so often, as a net under the watches: up to a fifth
        /// sooner or later, so that callers don't ask in step. 60 s; at least 1 s.
        public var refreshInterval: Duration = .seconds(60)
        /// A service is not asked for anew by ``refresh(_:namespace:)`` sooner than that after the
        /// last time; up to half of it more, by chance. 5 s.
        public var refreshMin: Duration = .seconds(5)
        /// How long a write waits to be seen here, once it was done. 1 s.
        public var writePatience: Duration = .seconds(1)

        /// The defaults.
        public init() {}
    }

    /// What is remembered of a service.
    public struct State: Sendable, Hashable {
        /// Whether there ever was an answer about it.
        public var isKnown: Bool
        /// How many nodes there are.
        public var nodes: Int
        /// How long ago contact with the register was lost; zero while there is.
        public var age: Duration
        /// Why the register cannot be reached now.
        public var interruption: MicroError?
    }

    /// - Parameters:
    ///   - base: The register behind. It is closed with this one.
    ///   - options: How much is remembered, and how it is kept fresh.
    ///   - environment: Its clock, its tasks and its chance.
    public init(
        _ base: any Register, options: Options = Options(), environment: Environment = .current
    ) {
        self.base = base
        self.writePatience = options.writePatience
        let kept = RegisterFollower<Void>.Options(
            idleTimeout: options.idleTimeout, lostGrace: options.lostGrace,
            subjectsMax: options.servicesMax, nodesMax: max(1, options.nodesMax),
            refreshMin: max(.zero, options.refreshMin),
            refreshInterval: max(.seconds(1), options.refreshInterval))
        self.follower = RegisterFollower(
            register: base, owner: "register", options: kept, environment: environment,
            make: { _ in })
    }

    deinit { follower.close() }

    /// That of the register behind.
    public var name: String { base.name }

    /// "the cache of " the register behind.
    public func describe() -> String { "the cache of \(base.describe())" }

    // MARK: Questions

    /// See ``Register/lookup(_:namespace:)``. It does not suspend when the answer is remembered.
    ///
    /// - Throws: As the register behind, only when nothing was ever known of the service.
    public func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] {
        let subject = RegisterFilter(service: service, namespace: namespace)
        if let known = follower.known(subject) { return known.nodes }
        try RegisterName.check(service, "service")
        try RegisterName.checkQuery(namespace: namespace)
        do {
            return try await follower.load(subject).nodes
        } catch let error as MicroError where error.code == .resourceExhausted {
            return try await base.lookup(service, namespace: namespace)
        }
    }

    /// See ``Register/list(namespace:)``: all services are watched from then on.
    ///
    /// - Throws: As the register behind, only when nothing was ever known.
    public func list(namespace: String) async throws -> [ServiceRecord] {
        let subject = RegisterFilter(service: nil, namespace: namespace)
        if let known = follower.known(subject) { return ServiceRecord.grouping(known.nodes) }
        try RegisterName.checkQuery(namespace: namespace)
        do {
            return ServiceRecord.grouping(try await follower.load(subject).nodes)
        } catch let error as MicroError where error.code == .resourceExhausted {
            return try await base.list(namespace: namespace)
        }
    }

    /// See ``Register/watch(_:namespace:)``.
    public func watch(_ service: String?, namespace: String) -> RegisterEvents {
        let isValid =
            (service.map(RegisterName.isValid) ?? true)
            && (namespace == RegisterNamespace.wildcard || RegisterName.isValid(namespace))
        let subject = RegisterFilter(service: service, namespace: namespace)
        guard isValid, let events = follower.events(of: subject, keeping: self) else {
            return base.watch(service, namespace: namespace)
        }
        return events
    }

    /// What is remembered of a service, or of the list of all when it is nil; nobody is asked.
    public func state(
        of service: String?, namespace: String = RegisterNamespace.standard
    ) -> State {
        let subject = RegisterFilter(service: service, namespace: namespace)
        guard let (known, isLoaded) = follower.peek(subject) else {
            return State(isKnown: false, nodes: 0, age: .zero)
        }
        return State(
            isKnown: isLoaded, nodes: known.nodes.count, age: known.age,
            interruption: known.interruption)
    }

    /// Asks the register behind for a service anew, unless that was done a moment ago.
    ///
    /// - Returns: Its nodes.
    /// - Throws: As ``lookup(_:namespace:)``.
    @discardableResult
    public func refresh(
        _ service: String, namespace: String = RegisterNamespace.standard
    ) async throws -> [ServiceNode] {
        try RegisterName.check(service, "service")
        try RegisterName.checkQuery(namespace: namespace)
        return try await follower.refresh(
            RegisterFilter(service: service, namespace: namespace)
        ).nodes
    }

    // MARK: Writes

    /// See ``Register/register(_:ttl:)``.
    public func register(_ node: ServiceNode, ttl: Duration) async throws {
        try await base.register(node, ttl: ttl)
        try await see(node) { $0.contains { $0.isAnnounced(as: node) } }
    }

    /// See ``Register/deregister(_:)``.
    public func deregister(_ node: ServiceNode) async throws {
        try await base.deregister(node)
        // Another process may have the id by now: its node stays.
        try await see(node) { !$0.contains { $0.isAnnounced(as: node) } }
    }

    /// Waits until the watches that are concerned have brought a change back. It is not made here:
    /// what is on its way may be older.
    private func see(
        _ node: ServiceNode, _ isSeen: @escaping @Sendable ([ServiceNode]) -> Bool
    ) async throws {
        for service in [node.service, nil] {
            for namespace in [node.namespace, RegisterNamespace.wildcard] {
                try await follower.wait(
                    for: RegisterFilter(service: service, namespace: namespace),
                    patience: writePatience, until: isSeen)
            }
        }
    }

    /// See ``Register/close()``; the register behind is closed, too.
    public func close() async {
        await base.close()
        follower.close()
    }
}

extension ServiceNode {
    /// Whether it is the same registration. Some registers do not give back all of it.
    fileprivate func isAnnounced(as other: ServiceNode) -> Bool {
        key == other.key && state == other.state && addresses == other.addresses
            && version == other.version
    }
}
