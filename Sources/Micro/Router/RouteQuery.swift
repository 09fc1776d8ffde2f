/// What a call asks of the nodes that may answer it.
public struct RouteQuery: Sendable, Hashable {
    /// What may be given up when no node has all of it.
    public struct Fallback: OptionSet, Sendable, Hashable {
        /// The bits.
        public let rawValue: UInt8

        /// From the bits.
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// Any zone, when no node is in the one that was asked for. Given up first.
        public static var zone: Fallback { Fallback(rawValue: 1) }
        /// Any metadata. Given up after the zone.
        public static var metadata: Fallback { Fallback(rawValue: 2) }
        /// Any version. Given up last.
        public static var version: Fallback { Fallback(rawValue: 4) }
    }

    /// Only nodes of exactly this version; nil means any.
    public var version: String?
    /// Only nodes in this zone; nil means any.
    public var zone: String?
    /// Only nodes whose metadata has all of these.
    public var metadata: [String: String]
    /// What may be given up when no node is left; nothing unless it is said.
    public var fallback: Fallback
    /// What a rule says about the call; nil: no rule concerns it.
    public var choice: RouteChoice?

    /// - Parameters:
    ///   - version: Only nodes of exactly this version.
    ///   - zone: Only nodes in this zone.
    ///   - metadata: Only nodes whose metadata has all of these.
    ///   - fallback: What may be given up when no node is left.
    ///   - choice: What a rule says about the call.
    public init(
        version: String? = nil, zone: String? = nil, metadata: [String: String] = [:],
        fallback: Fallback = [], choice: RouteChoice? = nil
    ) {
        self.version = version
        self.zone = zone
        self.metadata = metadata
        self.fallback = fallback
        self.choice = choice
    }

    /// The subsets that a node must be in, in the order they are tried.
    var subsets: [NodeSubset] { choice?.subsets ?? [.all] }

    /// Whether a node has all that is asked for; the rule's choice apart.
    func matches(_ node: ResolvedNode) -> Bool {
        (version == nil || version == node.version) && (zone == nil || zone == node.zone)
            && metadata.allSatisfy { node.metadata[$0.key] == $0.value }
    }

    /// This query, and behind it what is left of it as one thing after the other is given up.
    var steps: [RouteQuery] {
        var steps = [self]
        var next = self
        if fallback.contains(.zone), zone != nil {
            next.zone = nil
            steps.append(next)
        }
        if fallback.contains(.metadata), !metadata.isEmpty {
            next.metadata = [:]
            steps.append(next)
        }
        if fallback.contains(.version), version != nil {
            next.version = nil
            steps.append(next)
        }
        return steps
    }
}
