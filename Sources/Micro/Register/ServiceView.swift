/// What a watcher knows of the register, folded from its events: pure.
struct ServiceView: Sendable {
    private var known: [ServiceNode.Key: ServiceNode] = [:]

    /// Whether there was a snapshot yet.
    private(set) var isLoaded = false
    /// Why the register cannot be reached now.
    private(set) var interruption: MicroError?

    /// By version and id.
    var nodes: [ServiceNode] { known.values.sorted(by: ServiceRecord.order) }

    var count: Int { known.count }

    func contains(_ key: ServiceNode.Key) -> Bool { known[key] != nil }

    mutating func apply(_ change: RegisterEvent.Change) {
        interruption = nil
        switch change {
        case .snapshot(let nodes):
            known = Dictionary(nodes.map { ($0.key, $0) }, uniquingKeysWith: { $1 })
            isLoaded = true
        case .added(let node), .updated(let node): known[node.key] = node
        case .removed(let node): known[node.key] = nil
        case .interrupted(let error): interruption = error
        }
    }
}
