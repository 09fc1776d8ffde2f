internal import Synchronization

/// The nodes that the calls of a client may use, in the balancer's form: resolved by name, routed
/// by what the call asks for, and kept until they change.
final class NodeDirectory: Sendable {
    private let resolver: any Resolver
    private let router: any Router
    private let routed = Mutex<[String: NodeSet]>([:])

    init(resolver: any Resolver, router: any Router) {
        self.resolver = resolver
        self.router = router
    }

    /// The nodes for a call. `key` stands for the service and the query together.
    ///
    /// - Throws: As ``Resolver/resolve(_:)``; ``MicroError`` unavailable when no node matches the
    ///   query.
    func nodes(of service: String, for query: RouteQuery, key: String) async throws -> NodeSet {
        let resolution = try await resolver.resolve(service)
        if let known = routed.withLock({ $0[key] }), known.revision == resolution.revision {
            return known
        }
        guard let nodes = match(resolution, query) else {
            throw NodeDirectory.noMatch(resolution, query)
        }
        routed.withLock { routed in
            // Queries come from the program; this keeps one that makes them up from growing it.
            if routed.count >= NodeDirectory.queriesMax { routed = [:] }
            routed[key] = nodes
        }
        return nodes
    }

    /// Calls `body` with the nodes for a call, now and after every change, as long as there are
    /// any. Returns when the task is cancelled, or the resolver closed.
    func follow(
        _ service: String, for query: RouteQuery, _ body: @Sendable (NodeSet) async -> Void
    ) async {
        for await resolution in resolver.updates(for: service) {
            if let nodes = match(resolution, query) { await body(nodes) }
        }
    }

    private func match(_ resolution: Resolution, _ query: RouteQuery) -> NodeSet? {
        let chosen = router.route(resolution.nodes, for: query)
        guard !chosen.isEmpty else { return nil }
        return NodeSet(
            revision: resolution.revision,
            nodes: chosen.map { node in
                BalancedNode(
                    id: node.id, address: node.address, weight: Int(node.weight),
                    isDraining: node.state == .draining)
            })
    }

    /// Asks again where the nodes come from. What it can't find out, the next call reports.
    func refresh(_ service: String) async { _ = try? await resolver.refresh(service) }

    func close() async { await resolver.close() }

    private static let queriesMax = 4096

    private static func noMatch(_ resolution: Resolution, _ query: RouteQuery) -> MicroError {
        let states = resolution.nodes.map { "\($0.id) (version \($0.version), \($0.state))" }
        let wanted = query.version.map { " of version \($0)" } ?? ""
        return MicroError.unavailable(
            "client",
            "no node\(wanted) of the service \(resolution.service) takes calls; there are "
                + states.prefix(10).joined(separator: ", "))
    }
}
