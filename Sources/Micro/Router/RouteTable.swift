internal import Synchronization

/// Routes that are known, and told of as they change. Safe to use from any thread.
///
/// Give a client a ``RouteTableResolver`` to have it call along the routes.
public final class RouteTable: Sendable {
    /// Which routes are asked for. What is nil may be anything.
    public struct Query: Sendable, Hashable {
        /// Routes of this service; when it has none, those of ``Route/anyService``.
        public var service: String?
        /// Routes in this network.
        public var network: String?
        /// Routes through this gateway.
        public var gateway: String?
        /// Routes that this router knows of.
        public var router: String?
        /// Routes over this link.
        public var link: String?
        /// The zone whose routes come first among those of one metric.
        public var ownZone: String

        /// - Parameters:
        ///   - service: Routes of this service.
        ///   - network: Routes in this network.
        ///   - gateway: Routes through this gateway.
        ///   - router: Routes that this router knows of.
        ///   - link: Routes over this link; only local ones when nothing is said.
        ///   - ownZone: The zone whose routes come first.
        public init(
            service: String? = nil, network: String? = nil, gateway: String? = nil,
            router: String? = nil, link: String? = Route.localLink, ownZone: String = ""
        ) {
            self.service = service
            self.network = network
            self.gateway = gateway
            self.router = router
            self.link = link
            self.ownZone = ownZone
        }

        /// All routes.
        public static let all = Query(link: nil)

        func matches(_ route: Route) -> Bool {
            (network == nil || network == route.network)
                && (gateway == nil || gateway == route.gateway)
                && (router == nil || router == route.router)
                && (link == nil || link == route.link)
        }
    }

    fileprivate struct State {
        var routes: [String: [Route.Key: Route]] = [:]
        var count = 0
        var revision: UInt64 = 0
        /// The last changes, the newest last; the last of them has ``revision``.
        var log = Fifo<RouteEvent>()
    }

    private let limit: Int
    private let state = Mutex(State())
    /// Tells of every change.
    let changes = RouteChanges()

    /// - Parameters:
    ///   - routes: What is known at the beginning.
    ///   - limit: How many routes there may be.
    /// - Throws: As ``replace(with:)``.
    public init(_ routes: [Route] = [], limit: Int = 65_536) throws {
        self.limit = limit
        try replace(with: routes)
    }

    // MARK: Changes

    /// Adds a route.
    ///
    /// - Throws: ``MicroError`` — `alreadyExists` when it is there, whatever its metric;
    ///   `invalidArgument`, `resourceExhausted`.
    public func create(_ route: Route) throws {
        try route.validate()
        try change { state in
            guard state.route(route.key) == nil else {
                throw MicroError.alreadyExists("router", "\(route.shown) is in the table already")
            }
            try set(route, .created(route), &state)
        }
    }

    /// Changes what is known of a route, or adds it.
    ///
    /// - Throws: ``MicroError`` — `invalidArgument`, `resourceExhausted`.
    public func update(_ route: Route) throws {
        try route.validate()
        try change { state in
            guard let former = state.route(route.key) else {
                return try set(route, .created(route), &state)
            }
            if former != route { try set(route, .updated(route), &state) }
        }
    }

    /// Removes a route; its metric and all that is not in its fingerprint do not matter.
    ///
    /// - Throws: ``MicroError`` — `notFound`.
    public func delete(_ route: Route) throws {
        try change { state in
            guard let former = state.remove(route.key) else {
                throw MicroError.notFound("router", "\(route.shown) is not in the table")
            }
            state.note(.deleted(former))
        }
    }

    /// Makes `routes` all that is known, at once.
    ///
    /// Nothing has changed when it throws.
    ///
    /// - Throws: ``MicroError`` — `invalidArgument` that names the route and the field,
    ///   `alreadyExists` for one that is there twice, `resourceExhausted`.
    public func replace(with routes: [Route]) throws {
        guard routes.count <= limit else { throw tooMany }
        var wanted: [Route.Key: Route] = [:]
        for (index, route) in routes.enumerated() {
            try route.validate(at: "routes[\(index)]")
            guard wanted.updateValue(route, forKey: route.key) == nil else {
                throw MicroError.alreadyExists("router", "\(route.shown) is there twice")
            }
        }
        try change { state in
            for former in state.all(where: { wanted[$0.key] == nil }) {
                _ = state.remove(former.key)
                state.note(.deleted(former))
            }
            for route in routes {
                switch state.route(route.key) {
                case nil: try set(route, .created(route), &state)
                case .some(let former) where former != route:
                    try set(route, .updated(route), &state)
                case .some: break
                }
            }
        }
    }

    private func change(_ body: (inout State) throws -> Void) throws {
        let isChanged = try state.withLock { state in
            let revision = state.revision
            try body(&state)
            return state.revision != revision
        }
        if isChanged { changes.tell() }
    }

    private func set(_ route: Route, _ event: RouteEvent.Change, _ state: inout State) throws {
        let isNew = state.route(route.key) == nil
        guard !isNew || state.count < limit else { throw tooMany }
        state.routes[route.service, default: [:]][route.key] = route
        if isNew { state.count += 1 }
        state.note(event)
    }

    private var tooMany: MicroError {
        .resourceExhausted("router", "a table has \(limit) routes at most")
    }

    // MARK: Questions

    /// Grows with every change.
    public var revision: UInt64 { state.withLock { $0.revision } }

    /// All routes, by service and as ``query(_:)`` orders them.
    public func list() -> [Route] { query(.all) }

    /// The routes asked for: the lowest metric first, and among equals the own zone.
    public func query(_ query: Query) -> [Route] { read(query).routes }

    /// The same, with the revision of the table that has them.
    func read(_ query: Query) -> (routes: [Route], revision: UInt64) {
        state.withLock { state in
            let found: [Route]
            if let service = query.service {
                let own = state.routes[service]?.values.filter(query.matches) ?? []
                found =
                    own.isEmpty
                    ? state.routes[Route.anyService]?.values.filter(query.matches) ?? [] : own
            } else {
                found = state.routes.values.flatMap { $0.values.filter(query.matches) }
            }
            let ranked = found.map { route in
                (route: route, rank: route.rank(in: query.ownZone), print: route.fingerprint)
            }
            let sorted = ranked.sorted { lhs, rhs in
                let (left, right) = (lhs.route, rhs.route)
                return (
                    left.service, lhs.rank.metric, lhs.rank.isAway, left.destination, lhs.print
                ) < (
                    right.service, rhs.rank.metric, rhs.rank.isAway, right.destination, rhs.print
                )
            }
            return (sorted.map(\.route), state.revision)
        }
    }

    /// The services that there are routes of, in order.
    var services: [String] { state.withLock { $0.routes.keys.sorted() } }

    /// What there is now, then each change in order. Who is too slow, and 1,024 changes behind,
    /// gets all that there is once more. It ends when the task that waits on it is cancelled.
    public func watch(_ query: Query = .all) -> RouteEvents {
        RouteEvents(table: self, query: query)
    }

    /// What to tell somebody who has seen all up to `revision`; nil: nothing yet.
    func event(after revision: inout UInt64?, _ query: Query) -> RouteEvent? {
        state.withLock { state in
            guard let seen = revision,
                state.revision - seen <= UInt64(state.log.count)
            else {
                revision = state.revision
                return RouteEvent(
                    .snapshot(state.all(where: query.concerns)), revision: state.revision)
            }
            for next in (seen + 1)..<(state.revision + 1) {
                let event = state.log[state.log.count - Int(state.revision - next) - 1]
                revision = next
                if let route = event.route, query.concerns(route) { return event }
            }
            return nil
        }
    }
}

extension RouteTable.Query {
    /// Whether a watcher is told of it; here nothing stands in for a service.
    fileprivate func concerns(_ route: Route) -> Bool {
        (service == nil || service == route.service) && matches(route)
    }
}

extension RouteTable.State {
    fileprivate static let logMax = 1024

    /// By service and fingerprint.
    fileprivate func all(where isWanted: (Route) -> Bool) -> [Route] {
        routes.values.flatMap { $0.values.filter(isWanted) }
            .map { ($0, $0.fingerprint) }
            .sorted { ($0.0.service, $0.1) < ($1.0.service, $1.1) }
            .map(\.0)
    }

    fileprivate func route(_ key: Route.Key) -> Route? { routes[key.service]?[key] }

    fileprivate mutating func remove(_ key: Route.Key) -> Route? {
        guard let former = routes[key.service]?.removeValue(forKey: key) else { return nil }
        if routes[key.service]?.isEmpty == true { routes[key.service] = nil }
        count -= 1
        return former
    }

    fileprivate mutating func note(_ change: RouteEvent.Change) {
        revision += 1
        log.append(RouteEvent(change, revision: revision))
        if log.count > RouteTable.State.logMax { _ = log.popFirst() }
    }
}

extension Route {
    /// For error messages.
    fileprivate var shown: String {
        "the route of \(service) to \(address)" + (gateway.isEmpty ? "" : " by \(gateway)")
    }

    /// What decides which are used first.
    func rank(in zone: String) -> (metric: Int, isAway: Int) {
        (metric, zone.isEmpty || zone == self.zone ? 0 : 1)
    }
}
