/// The nodes that a register knows and when each is forgotten: pure, time is an argument.
///
/// Every change is returned as what watchers have to be told, in order.
struct RegisterTable: Sendable {
    typealias Change = RegisterEvent.Change

    private struct Entry {
        var node: ServiceNode
        var expiry: EventLoopClock.Instant
    }

    private var entries: [ServiceNode.Key: Entry] = [:]
    /// No entry expires before it; it may be earlier than the first that does.
    private var earliest = EventLoopClock.Instant(nanoseconds: .max)

    var isEmpty: Bool { entries.isEmpty }

    /// All nodes, in no order.
    var nodes: some Collection<ServiceNode> { entries.values.lazy.map(\.node) }

    func nodes(_ filter: RegisterFilter) -> [ServiceNode] {
        nodes.filter(filter.matches).sorted(by: ServiceRecord.order)
    }

    /// When the next node is forgotten.
    var nextExpiry: EventLoopClock.Instant? { entries.values.lazy.map(\.expiry).min() }

    /// Adds or replaces a node; a heartbeat that says nothing new is no change.
    mutating func register(_ node: ServiceNode, until expiry: EventLoopClock.Instant) -> [Change] {
        earliest = min(earliest, expiry)
        let before = entries.updateValue(Entry(node: node, expiry: expiry), forKey: node.key)
        guard let before else { return [.added(node)] }
        return before.node == node ? [] : [.updated(node)]
    }

    mutating func deregister(_ key: ServiceNode.Key) -> [Change] {
        guard let entry = entries.removeValue(forKey: key) else { return [] }
        return [.removed(entry.node)]
    }

    /// Forgets the nodes whose time is up; those that have had the least time are first.
    mutating func expire(now: EventLoopClock.Instant) -> [Change] {
        guard earliest <= now else { return [] }
        let dead = entries.filter { $0.value.expiry <= now }
            .sorted { ($0.value.expiry, $0.key) < ($1.value.expiry, $1.key) }
        for (key, _) in dead { entries.removeValue(forKey: key) }
        earliest = nextExpiry ?? EventLoopClock.Instant(nanoseconds: .max)
        return dead.map { .removed($0.value.node) }
    }

    /// Makes `nodes` the contents. What comes is told before what goes: who follows the changes
    /// must not believe, in between, that there is no node.
    mutating func replace(with nodes: [ServiceNode]) -> [Change] {
        let keys = Set(nodes.map(\.key))
        var changes: [Change] = []
        let gone = entries.keys.filter { !keys.contains($0) }.sorted()
        for node in nodes {
            changes += register(node, until: EventLoopClock.Instant(nanoseconds: .max))
        }
        for key in gone { changes += deregister(key) }
        return changes
    }
}
