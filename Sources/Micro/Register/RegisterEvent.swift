/// Something that happened in a register, as a watcher sees it.
public struct RegisterEvent: Sendable, Hashable {
    /// What happened.
    public enum Change: Sendable, Hashable {
        /// All nodes there are now, by namespace, service, version and id. The first thing
        /// that a watch knows, and what it goes on with after it was interrupted or too slow to be
        /// told each change: forget what you knew.
        case snapshot([ServiceNode])
        /// A node came.
        case added(ServiceNode)
        /// A node is known by the same id, and something about it is different.
        case updated(ServiceNode)
        /// A node was deregistered, died, or was not heard of for its time to live.
        case removed(ServiceNode)
        /// The register cannot be reached. What was known still counts; a snapshot follows when it
        /// is back.
        case interrupted(MicroError)
    }

    /// What happened.
    public var change: Change
    /// Grows with every event of a watch, and within one object over all of its watches. Not
    /// comparable between processes.
    public var revision: UInt64

    /// - Parameters:
    ///   - change: What happened.
    ///   - revision: The place of the event in the order of all of them.
    public init(_ change: Change, revision: UInt64) {
        self.change = change
        self.revision = revision
    }
}

extension RegisterEvent.Change {
    /// The part of it that a watch of one service or namespace sees; nil when that is nothing.
    func filtered(_ filter: RegisterFilter) -> RegisterEvent.Change? {
        switch self {
        case .snapshot(let nodes): .snapshot(nodes.filter(filter.matches))
        case .added(let node), .updated(let node), .removed(let node):
            filter.matches(node) ? self : nil
        case .interrupted: self
        }
    }
}

/// What a question or a watch is about.
struct RegisterFilter: Sendable, Hashable, Comparable {
    /// nil means all.
    var service: String?
    var namespace: String

    func matches(_ node: ServiceNode) -> Bool {
        (namespace == RegisterNamespace.wildcard || namespace == node.namespace)
            && (service == nil || service == node.service)
    }

    static func < (lhs: RegisterFilter, rhs: RegisterFilter) -> Bool {
        (lhs.service ?? "", lhs.namespace) < (rhs.service ?? "", rhs.namespace)
    }
}
