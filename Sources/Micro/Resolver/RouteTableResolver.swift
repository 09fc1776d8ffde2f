internal import Synchronization

/// Nodes from a ``RouteTable``: those with the lowest metric are called, those of the own zone
/// before others of the same metric; the rest only when none of these can be.
///
/// A route with a gateway is called there; so is a service that has no route of its own, at the
/// gateways of ``Route/anyService``. A service without any route is looked for in another resolver,
/// if there is one.
public final class RouteTableResolver: Resolver {
    private let table: RouteTable
    private let query: RouteTable.Query
    private let base: (any Resolver)?
    private let environment: Environment
    private let state = Mutex(State())

    private struct State {
        var lines: [UInt64: Line] = [:]
        var last: UInt64 = 0
        var isClosed = false
    }

    /// - Parameters:
    ///   - table: Where the routes are.
    ///   - query: Which of them are used, of whatever service; also says the own zone.
    ///   - base: Asked for services without a route. It is closed with this one.
    ///   - environment: Its tasks.
    public init(
        _ table: RouteTable, query: RouteTable.Query = .all, over base: (any Resolver)? = nil,
        environment: Environment = .current
    ) {
        self.table = table
        self.query = query
        self.base = base
        self.environment = environment
    }

    deinit { end() }

    /// "a table of routes", and the resolver behind it.
    public func describe() -> String {
        "a table of routes" + (base.map { ", then \($0.describe())" } ?? "")
    }

    /// See ``Resolver/resolve(_:)``.
    public func resolve(_ service: String) async throws -> Resolution {
        try await find(service) { try await $0.resolve(service) }
    }

    /// See ``Resolver/refresh(_:)``: the table is always right; the resolver behind it asks again.
    @discardableResult
    public func refresh(_ service: String) async throws -> Resolution {
        try await find(service) { try await $0.refresh(service) }
    }

    private func find(
        _ service: String, _ ask: (any Resolver) async throws -> Resolution
    ) async throws -> Resolution {
        guard !state.withLock({ $0.isClosed }) else {
            throw MicroError("resolver", .unavailable, "the resolver is closed")
        }
        let (nodes, revision) = nodes(of: service)
        if !nodes.isEmpty {
            return Resolution(service: service, nodes: nodes, revision: revision)
        }
        guard let base else {
            throw MicroError.notFound(
                "resolver",
                "there is no route of \(RegisterName.excerpt(service)) in the table: "
                    + knownServices(table.services))
        }
        var resolution = try await ask(base)
        resolution.revision &+= revision
        return resolution
    }

    private func nodes(of service: String) -> (nodes: [ResolvedNode], revision: UInt64) {
        var query = query
        query.service = service
        let (routes, revision) = table.read(query)
        var ranks = -1
        var last: (metric: Int, isAway: Int)?
        let nodes = routes.map { route in
            let rank = route.rank(in: query.ownZone)
            if last.map({ $0 != rank }) ?? true { ranks += 1 }
            last = rank
            return ResolvedNode(route, rank: ranks)
        }
        return (nodes, revision)
    }

    // MARK: Updates

    /// See ``Resolver/updates(for:)``.
    public func updates(for service: String) -> ResolverUpdates {
        let line = Line()
        let id = state.withLock { state -> UInt64? in
            guard !state.isClosed else { return nil }
            state.last += 1
            state.lines[state.last] = line
            return state.last
        }
        let (updates, source) = ResolverUpdates.make(onEnd: { [weak self] in
            line.end()
            if let id { self?.state.withLock { _ = $0.lines.removeValue(forKey: id) } }
        })
        guard id != nil else {
            source.send(Resolution(service: service, nodes: [], revision: 0))
            source.finish()
            return updates
        }
        let push: @Sendable () -> Void = { [weak self] in
            guard let self else { return }
            let (nodes, revision) = self.nodes(of: service)
            let below = line.latest
            // As long as the one behind has said nothing, it may still.
            guard !nodes.isEmpty || below != nil || self.base == nil else { return }
            source.send(
                Resolution(
                    service: service, nodes: nodes.isEmpty ? below?.nodes ?? [] : nodes,
                    revision: revision &+ (below?.revision ?? 0),
                    age: nodes.isEmpty ? below?.age ?? .zero : .zero))
        }
        line.begin(source, table.changes.follow(push))
        push()
        if let base {
            let news = base.updates(for: service)
            line.keep(
                environment.spawn {
                    for await resolution in news {
                        line.take(resolution)
                        push()
                    }
                })
        }
        return updates
    }

    /// See ``Resolver/close()``; the resolver behind is closed, too.
    public func close() async {
        end()
        await base?.close()
    }

    private func end() {
        let lines = state.withLock { state in
            state.isClosed = true
            defer { state.lines = [:] }
            return state.lines.sorted { $0.key < $1.key }.map(\.value)
        }
        for line in lines { line.end() }
    }

    /// What feeds one sequence of updates.
    private final class Line: Sendable {
        private let state = Mutex(State())

        private struct State {
            var source: ResolverUpdates.Source?
            var follower: RouteFollower?
            var task: SpawnedTask?
            var latest: Resolution?
            var isEnded = false
        }

        var latest: Resolution? { state.withLock { $0.latest } }

        func begin(_ source: ResolverUpdates.Source, _ follower: RouteFollower) {
            state.withLock { state in
                state.source = source
                state.follower = follower
            }
        }

        func keep(_ task: SpawnedTask) {
            let isEnded = state.withLock { state in
                state.task = task
                return state.isEnded
            }
            if isEnded { task.cancel() }
        }

        func take(_ resolution: Resolution) { state.withLock { $0.latest = resolution } }

        func end() {
            let (source, task, follower) = state.withLock { state in
                state.isEnded = true
                return (state.source.take(), state.task.take(), state.follower.take())
            }
            source?.finish()
            task?.cancel()
            withExtendedLifetime(follower) {}
        }
    }
}

extension ResolvedNode {
    fileprivate init(_ route: Route, rank: Int) {
        self.init(
            id: String(route.fingerprint, radix: 16), addresses: [route.destination],
            zone: route.zone, version: route.version, metadata: route.metadata, rank: rank)
    }
}
