internal import Synchronization

/// Routes calls by rules that can be changed while they are made: by what is called, what goes
/// along with it, and by shares of the calls.
///
/// ```swift
/// let router = try RuleRouter([
///     RouteRule(
///         "canary", service: "shop", key: "x-user",
///         to: [NodeSubset(version: "2", weight: 5), NodeSubset(version: "1", weight: 95)],
///         fallback: [NodeSubset(version: "1")])
/// ])
/// let client = Client(resolver: resolver, router: router)
/// ```
/// Calls of services that no rule names cost nothing more. Calls that begin after ``update(_:)``
/// has returned follow the new rules; those in flight go on. Safe to use from any thread.
public final class RuleRouter: Router {
    private let base: any Router
    private let zone: String
    private let told = RouteChanges()
    private let state: Mutex<[RouteRule]>
    /// What the other router changes is a change of this one.
    private let follower: RouteFollower?

    /// - Parameters:
    ///   - rules: The first that a call meets decides.
    ///   - zone: The caller's.
    ///   - base: Chooses among the nodes of the rules' subsets.
    /// - Throws: As ``update(_:)``.
    public init(
        _ rules: [RouteRule] = [], zone: String = "", over base: any Router = DirectRouter()
    ) throws {
        try RouteRule.validate(rules)
        self.base = base
        self.zone = zone
        self.state = Mutex(rules)
        self.follower = base.changes?.follow { [told] in told.tell() }
    }

    /// The rules now.
    public var rules: [RouteRule] { state.withLock { $0 } }

    /// Changes the rules, all of them at once.
    ///
    /// - Throws: ``MicroError`` — `invalidArgument` that names the rule and the field; then the old
    ///   ones stay.
    public func update(_ rules: [RouteRule]) throws {
        try RouteRule.validate(rules)
        let isDifferent = state.withLock { state in
            defer { state = rules }
            return state != rules
        }
        if isDifferent { told.tell() }
    }

    /// See ``Router/route(_:for:)``.
    public func route(_ nodes: [ResolvedNode], for query: RouteQuery) -> [ResolvedNode] {
        base.route(nodes, for: query)
    }

    /// See ``Router/rules(for:)``.
    public func rules(for service: String) -> RouteRules? {
        RouteRules(rules, for: service, zone: zone) ?? base.rules(for: service)
    }

    /// See ``Router/changes``.
    public var changes: RouteChanges? { told }
}
