/// Nodes from a register, remembered and kept up to date by watching it.
///
/// The first question for a service starts one watch, whoever else asks at that moment; answers
/// then come from memory. While the register cannot be reached, they are the last that were known,
/// with their ``Resolution/age``. When it loses most of a service's nodes at once, as one does that
/// was made anew, they are held on to for a while. A service that nobody has asked for in five
/// minutes is forgotten.
public final class RegisterResolver: Resolver {
    private let register: any Register
    private let namespace: String
    private let follower: RegisterFollower<[ResolvedNode]>

    /// How a resolver remembers.
    public struct Options: Sendable {
        /// How long a service that nobody asks for is remembered. 5 min.
        public var idleTimeout: Duration = .seconds(300)
        /// How long nodes are held on to that the register has lost, more than half of them at
        /// once, so that each has the time for its next heartbeat. 90 s, the usual time to live.
        public var lostGrace: Duration = .seconds(90)
        /// How many services are remembered; the ones unused for longest are forgotten. 4,096.
        public var servicesMax: Int = 4096

        /// The defaults.
        public init() {}
    }

    /// - Parameters:
    ///   - register: Where the nodes are found. It is not closed with the resolver.
    ///   - namespace: Which services are seen; ``RegisterNamespace/wildcard`` sees all.
    ///   - options: How the resolver remembers.
    ///   - environment: Its clock and its tasks.
    public init(
        register: any Register, namespace: String = RegisterNamespace.standard,
        options: Options = Options(), environment: Environment = .current
    ) {
        self.register = register
        self.namespace = namespace
        let kept = RegisterFollower<[ResolvedNode]>.Options(
            idleTimeout: options.idleTimeout, lostGrace: options.lostGrace,
            subjectsMax: options.servicesMax)
        self.follower = RegisterFollower(
            register: register, owner: "resolver", options: kept, environment: environment,
            make: RegisterResolver.resolved)
    }

    deinit { follower.close() }

    /// See ``Resolver/describe()``.
    public func describe() -> String {
        register.describe()
            + (namespace == RegisterNamespace.standard ? "" : ", namespace \(namespace)")
    }

    /// See ``Resolver/resolve(_:)``. It does not suspend when the answer is remembered.
    public func resolve(_ service: String) async throws -> Resolution {
        if let known = follower.known(subject(service)), !known.nodes.isEmpty {
            return RegisterResolver.resolution(known, of: service)
        }
        try RegisterName.check(service, "service")
        return try await answer(service, try await follower.load(subject(service)))
    }

    /// See ``Resolver/refresh(_:)``: a new watch is started, and its first snapshot waited for.
    @discardableResult
    public func refresh(_ service: String) async throws -> Resolution {
        try RegisterName.check(service, "service")
        return try await answer(service, try await follower.refresh(subject(service)))
    }

    /// See ``Resolver/updates(for:)``. A register that cannot be reached says nothing until it can;
    /// ``resolve(_:)`` says why.
    public func updates(for service: String) -> ResolverUpdates {
        let subject = subject(service)
        let ticket = Latch<UInt64>()
        let (updates, source) = ResolverUpdates.make(onEnd: { [weak follower] in
            if let id = try? ticket.result?.get() { follower?.unsubscribe(id, from: subject) }
        })
        do {
            try RegisterName.check(service, "service")
            let id = try follower.subscribe(to: subject) { known in
                guard let known else { return source.finish() }
                source.send(RegisterResolver.resolution(known, of: service))
            }
            ticket.set(.success(id))
        } catch {
            // Nobody can be called by that name, now or later; or the resolver is closed.
            source.send(Resolution(service: service, nodes: [], revision: 0))
            if follower.isClosed { source.finish() }
        }
        return updates
    }

    /// See ``Resolver/close()``. The register stays open.
    public func close() async { follower.close() }

    // MARK: Answers

    private func subject(_ service: String) -> RegisterFilter {
        RegisterFilter(service: service, namespace: namespace)
    }

    private func answer(
        _ service: String, _ known: RegisterFollower<[ResolvedNode]>.Known
    ) async throws -> Resolution {
        if known.nodes.isEmpty { throw await unknown(service) }
        return RegisterResolver.resolution(known, of: service)
    }

    private static func resolution(
        _ known: RegisterFollower<[ResolvedNode]>.Known, of service: String
    ) -> Resolution {
        Resolution(
            service: service, nodes: known.value, revision: known.revision, age: known.age)
    }

    private func unknown(_ service: String) async -> MicroError {
        let services = (try? await register.list(namespace: namespace)).map {
            knownServices(Set($0.map(\.name)).sorted())
        }
        return .notFound(
            "resolver",
            "no node offers \(service) in \(describe())" + (services.map { ": \($0)" } ?? ""))
    }

    private static func resolved(_ nodes: [ServiceNode]) -> [ResolvedNode] {
        // An id is unique only within its namespace.
        let isMixed = Set(nodes.map(\.namespace)).count > 1
        return nodes.map { node in
            var resolved = ResolvedNode(node)
            if isMixed { resolved.id = "\(node.namespace)/\(node.id)" }
            return resolved
        }
    }
}
