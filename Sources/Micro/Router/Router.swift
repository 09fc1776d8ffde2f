/// Which of a service's nodes a call may use. The balancer then picks one of them.
///
/// ``route(_:for:)`` is called for every change of the nodes and of the query, not for every call,
/// and must be pure: the same nodes and query give the same answer until ``changes`` tells
/// otherwise. What tells the calls of a service apart are its ``rules(for:)``, if it has any.
public protocol Router: Sendable {
    /// The nodes that the call may use, in the order they came; empty when there is none.
    func route(_ nodes: [ResolvedNode], for query: RouteQuery) -> [ResolvedNode]

    /// The rules that calls of a service are held against; what they say is in
    /// ``RouteQuery/choice``. nil, the default: there are none, and calls are not looked at.
    func rules(for service: String) -> RouteRules?

    /// Tells when answers are different from before; nil, the default: they never are.
    var changes: RouteChanges? { get }
}

extension Router {
    /// None.
    public func rules(for service: String) -> RouteRules? { nil }

    /// None.
    public var changes: RouteChanges? { nil }
}
