/// Calls go straight to the nodes that match: those that are ready, or the draining ones when no
/// other is left. Nodes that are starting get no calls.
///
/// A ready node that only a ``RouteQuery/Fallback`` or a later subset of a rule finds comes before
/// a draining one that matches exactly: what is given up was said to be expendable, an answer was
/// not.
public struct DirectRouter: Router {
    /// The router.
    public init() {}

    /// See ``Router/route(_:for:)``.
    public func route(_ nodes: [ResolvedNode], for query: RouteQuery) -> [ResolvedNode] {
        for state in [ServiceNode.State.ready, .draining] {
            let candidates = nodes.filter { $0.state == state }
            for subset in query.subsets {
                let members = subset.isAll ? candidates : candidates.filter(subset.matches)
                for step in query.steps {
                    let chosen = members.filter(step.matches)
                    if !chosen.isEmpty { return chosen }
                }
            }
        }
        return []
    }
}
