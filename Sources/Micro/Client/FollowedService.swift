internal import Synchronization

/// The newest nodes of one service, as its resolver tells of them. Any thread.
final class FollowedService: Sendable {
    let name: String
    private let router: any Router
    /// Grows whenever what is known here changes: who has seen this state need not look again.
    private let version: Atomic<UInt64>
    private let wasUsed = Atomic<Bool>(true)
    private let state = Mutex(State())

    private struct State {
        var resolution: Resolution?
        var revision: UInt64?
        var codecs: [String]?
        /// By query, for as long as the resolution stands.
        var routed: [RouteQuery: NodeSet] = [:]
        var task: SpawnedTask?
        var isEnded = false
        var idlePeriods = 0
    }

    /// - Parameter number: From 1, and another one for each: no two have a stamp in common, so who
    ///   goes by one need not know whose it is.
    init(_ name: String, router: any Router, number: UInt64) {
        self.name = name
        self.router = router
        self.version = Atomic(number << 32)
    }

    deinit { end() }

    /// What ``nodes(for:)`` and ``rules(for:)`` answer stays as it is while this does.
    var stamp: UInt64 { version.load(ordering: .acquiring) }

    /// The rules for the calls of an endpoint, and the stamp they hold for.
    func rules(for endpoint: String) -> (rules: RouteRules?, stamp: UInt64) {
        let stamp = stamp
        return (router.rules(for: name)?.narrowed(to: endpoint), stamp)
    }

    /// The router answers otherwise from now on.
    func reroute() {
        state.withLock { state in
            state.routed = [:]
            version.add(1, ordering: .releasing)
        }
    }

    /// The codecs that all nodes understand; nil when that is not known.
    var codecs: [String]? { state.withLock { $0.codecs } }

    /// Notes that somebody calls it.
    func use() {
        // One cache line for all loops: written once in a while only.
        if !wasUsed.load(ordering: .relaxed) { wasUsed.store(true, ordering: .relaxed) }
    }

    /// The nodes that match, and their stamp; nil as long as the resolver has to be asked.
    func nodes(for query: RouteQuery) -> (nodes: NodeSet?, stamp: UInt64) {
        state.withLock { state in
            let stamp = version.load(ordering: .relaxed)
            guard let resolution = state.resolution else { return (nil, stamp) }
            if let known = state.routed[query] { return (known, stamp) }
            let nodes = NodeSet(resolution, routedBy: router, for: query)
            // Queries come from the program; this keeps one that makes them up from growing it.
            if state.routed.count >= FollowedService.queriesMax { state.routed = [:] }
            state.routed[query] = nodes
            return (nodes, stamp)
        }
    }

    private static let queriesMax = 64

    /// A newer state; one without nodes is a question to the resolver, which knows why.
    func take(_ resolution: Resolution) {
        state.withLock { state in
            guard !state.isEnded, state.revision.map({ $0 < resolution.revision }) ?? true else {
                return
            }
            state.revision = resolution.revision
            state.resolution = resolution.nodes.isEmpty ? nil : resolution
            state.codecs = resolution.codecsInCommon
            state.routed = [:]
            version.add(1, ordering: .releasing)
        }
    }

    /// What brings the states; it is cancelled at the end.
    func keep(_ task: SpawnedTask) {
        let isEnded = state.withLock { state in
            if !state.isEnded { state.task = task }
            return state.isEnded
        }
        if isEnded { task.cancel() }
    }

    /// Nothing is known any more.
    func end() {
        let task = state.withLock { state in
            state.isEnded = true
            state.resolution = nil
            state.routed = [:]
            version.add(1, ordering: .releasing)
            return state.task.take()
        }
        task?.cancel()
    }

    /// For so many calls in a row nobody has used it.
    func countIdlePeriods() -> Int {
        let wasUsed = wasUsed.exchange(false, ordering: .relaxed)
        return state.withLock { state in
            state.idlePeriods = wasUsed ? 0 : state.idlePeriods + 1
            return state.idlePeriods
        }
    }
}

extension NodeSet {
    /// nil when no node matches.
    init?(_ resolution: Resolution, routedBy router: any Router, for query: RouteQuery) {
        // Counted before it is asked: what a later change does has a higher revision.
        let revision = resolution.revision &+ (router.changes?.count ?? 0)
        let chosen = router.route(resolution.nodes, for: query)
        guard let nearest = chosen.map(\.rank).min() else { return nil }
        self.init(
            revision: revision,
            nodes: chosen.map { node in
                BalancedNode(
                    id: node.id, addresses: node.addresses, weight: Int(node.weight),
                    isDraining: node.state == .draining || node.rank > nearest, zone: node.zone)
            }, route: query.choice?.label)
    }
}
