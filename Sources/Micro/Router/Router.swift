/// Which of a service's nodes a call may use. The balancer then picks one of them.
///
/// It is called for every change of the nodes and of the query, not for every call, and must be
/// pure: the same nodes and query give the same answer.
public protocol Router: Sendable {
    /// The nodes that the call may use, in the order they came; empty when there is none.
    func route(_ nodes: [ResolvedNode], for query: RouteQuery) -> [ResolvedNode]
}
