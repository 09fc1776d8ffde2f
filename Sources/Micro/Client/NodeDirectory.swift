internal import Synchronization

/// The nodes that the calls of a client may use, in the balancer's form: resolved by name, routed
/// by what the call asks for.
///
/// The first call of a service asks the resolver. From then on the service is followed, so that its
/// nodes are at hand, until nobody has called it for five minutes.
final class NodeDirectory: Sendable {
    private let resolver: any Resolver
    private let router: any Router
    private let environment: Environment
    private let state = Mutex(State())
    private let rerouting = Mutex<RouteFollower?>(nil)
    /// Forgets the services that nobody calls any more.
    private let janitor: SoleTask

    private struct State {
        var services: [String: FollowedService] = [:]
        /// All that were ever followed.
        var followed: UInt64 = 0
        var isClosed = false
    }

    init(resolver: any Resolver, router: any Router, environment: Environment) {
        self.resolver = resolver
        self.router = router
        self.environment = environment
        self.janitor = SoleTask(environment: environment)
        let follower = router.changes?.follow { [weak self] in self?.reroute() }
        rerouting.withLock { $0 = follower }
    }

    deinit { endAll() }

    // MARK: Questions

    /// The service, if its nodes are told here as they change.
    func followed(_ service: String) -> FollowedService? {
        state.withLock { $0.services[service] }
    }

    /// What a call asks of its nodes. Where chance decides, each time anew.
    func query(for request: ClientRequest) -> RouteQuery {
        let choice = router.rules(for: request.service)?.choice(
            for: RouteCall(request), chance: random)
        return RouteQuery(version: request.options.version, choice: choice)
    }

    /// Where the nodes come from, for people.
    var place: String { resolver.describe() }

    /// All nodes of a service. Throws as ``Resolver/resolve(_:)``.
    func resolve(_ service: String) async throws -> Resolution {
        try await resolver.resolve(service)
    }

    /// Those that a call may use.
    func route(_ resolution: Resolution, for query: RouteQuery) -> [ResolvedNode] {
        router.route(resolution.nodes, for: query)
    }

    /// Decides about calls that have no key.
    func random() -> UInt64 { environment.random() }

    /// The nodes for a call, if they are at hand.
    func known(_ service: String, for query: RouteQuery) -> NodeSet? {
        guard let followed = followed(service) else { return nil }
        followed.use()
        return followed.nodes(for: query).nodes
    }

    /// The nodes for a call, asked from the resolver.
    ///
    /// - Throws: As ``Resolver/resolve(_:)``; ``MicroError`` unavailable when no node matches the
    ///   query.
    func nodes(of service: String, for query: RouteQuery) async throws -> NodeSet {
        let resolution = try await resolver.resolve(service)
        guard let nodes = NodeSet(resolution, routedBy: router, for: query) else {
            throw NodeDirectory.noMatch(resolution, query)
        }
        follow(service)
        return nodes
    }

    /// Tells a loop of the nodes for a call, now and after every change, as long as there are any.
    /// Returns when the task is cancelled, or the resolver closed.
    func follow(_ request: ClientRequest, for query: RouteQuery, on slot: ClientLoop) async {
        let key = TargetKey(request.service, request.options, query.choice)
        for await resolution in resolver.updates(for: request.service) {
            guard let nodes = NodeSet(resolution, routedBy: router, for: query) else { continue }
            _ = try? await slot.loop.run { _ = try slot.update(key, to: nodes) }
        }
    }

    /// Asks again where the nodes come from. What it can't find out, the next call reports.
    func refresh(_ service: String) async { _ = try? await resolver.refresh(service) }

    func close() async {
        endAll()
        await resolver.close()
    }

    static func noMatch(_ resolution: Resolution, _ query: RouteQuery) -> MicroError {
        if let choice = query.choice {
            return MicroError.unavailable(
                "client",
                "no node of the service \(resolution.service) takes calls of the rule "
                    + "\(choice.rule): \(query.account(of: resolution.nodes))")
        }
        let states = resolution.nodes.map { "\($0.id) (version \($0.version), \($0.state))" }
        let wanted = query.version.map { " of version \($0)" } ?? ""
        return MicroError.unavailable(
            "client",
            "no node\(wanted) of the service \(resolution.service) takes calls; there are "
                + states.prefix(10).joined(separator: ", "))
    }

    // MARK: Following

    private static let servicesMax = 4096
    /// How often it is looked who is idle, and how many times in a row one may be.
    private static let idlePeriod = Duration.seconds(60)
    private static let idlePeriodsMax = 5

    private func follow(_ name: String) {
        let made: FollowedService? = state.withLock { state in
            guard !state.isClosed, state.services[name] == nil,
                state.services.count < NodeDirectory.servicesMax
            else { return nil }
            state.followed += 1
            let service = FollowedService(name, router: router, number: state.followed)
            state.services[name] = service
            return service
        }
        guard let service = made else { return }
        let updates = resolver.updates(for: name)
        service.keep(
            environment.spawn { [weak self, weak service] in
                for await resolution in updates {
                    guard let service else { return }
                    service.take(resolution)
                }
                if let service { self?.forget(service) }  // the resolver was closed
            })
        startJanitor()
    }

    private func reroute() {
        let services = state.withLock { $0.services.values.sorted { $0.name < $1.name } }
        for service in services { service.reroute() }
    }

    private func forget(_ service: FollowedService) {
        state.withLock { state in
            if state.services[service.name] === service { state.services[service.name] = nil }
        }
        service.end()
    }

    private func startJanitor() {
        janitor.begin { [weak self, clock = environment.clock] in
            repeat {
                do { try await clock.sleep(for: NodeDirectory.idlePeriod) } catch { return }
            } while self?.forgetIdle() ?? false
        }
    }

    /// - Returns: Whether there is anything left to look after.
    private func forgetIdle() -> Bool {
        let services = state.withLock { $0.services.values.sorted { $0.name < $1.name } }
        for service in services
        where service.countIdlePeriods() >= NodeDirectory.idlePeriodsMax {
            forget(service)
        }
        return janitor.goesOn { state.withLock { !$0.services.isEmpty } }
    }

    private func endAll() {
        let services = state.withLock { state in
            state.isClosed = true
            defer { state.services = [:] }
            return state.services.values.sorted { $0.name < $1.name }
        }
        janitor.close()
        for service in services { service.end() }
    }
}
