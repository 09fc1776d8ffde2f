/// A service in a register: its name and the nodes that offer it.
public struct ServiceRecord: Sendable, Hashable {
    /// Which group of services it belongs to.
    public var namespace: String
    /// The name that clients ask for.
    public var name: String
    /// Its nodes, of all versions, by version and id; at least one.
    public var nodes: [ServiceNode]

    /// The versions that its nodes have, each once, in order.
    public var versions: [String] { Set(nodes.map(\.version)).sorted() }

    /// - Parameters:
    ///   - namespace: Which group of services it belongs to.
    ///   - name: The name that clients ask for.
    ///   - nodes: Its nodes.
    public init(namespace: String, name: String, nodes: [ServiceNode]) {
        self.namespace = namespace
        self.name = name
        self.nodes = nodes
    }

    /// Groups nodes into services, in the order that ``Register/list(namespace:)`` promises.
    public static func grouping(_ nodes: some Sequence<ServiceNode>) -> [ServiceRecord] {
        let groups = Dictionary(grouping: nodes) {
            Name(namespace: $0.namespace, service: $0.service)
        }
        let records = groups.map { name, nodes in
            ServiceRecord(
                namespace: name.namespace, name: name.service,
                nodes: nodes.sorted(by: ServiceRecord.order))
        }
        return records.sorted { ($0.namespace, $0.name) < ($1.namespace, $1.name) }
    }

    private struct Name: Hashable {
        var namespace: String
        var service: String
    }

    /// The order of nodes in every answer.
    package static func order(_ lhs: ServiceNode, _ rhs: ServiceNode) -> Bool {
        (lhs.namespace, lhs.service, lhs.version, lhs.id)
            < (rhs.namespace, rhs.service, rhs.version, rhs.id)
    }
}
