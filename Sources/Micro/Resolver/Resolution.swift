/// A node as far as a call is concerned.
public struct ResolvedNode: Sendable, Hashable {
    /// The same as long as the node runs.
    public var id: String
    /// Where it listens, best first, each with its scheme: "tcp://10.0.0.7:4711".
    public var addresses: [String]
    /// Its share of the calls relative to the others, 1 to 1,000.
    public var weight: UInt32
    /// The place it runs in; empty when that is of no interest.
    public var zone: String
    /// Whether calls should go to it.
    public var state: ServiceNode.State
    /// The version of the service on it.
    public var version: String
    /// Whatever else is known.
    public var metadata: [String: String]
    /// The codecs it understands, in its order of preference; empty when that is not known.
    public var codecs: [String]
    /// Those with the lowest are called, the others only when none of those can be.
    public var rank: Int

    /// The address to connect to.
    public var address: String { addresses.first ?? "" }

    /// - Parameters:
    ///   - id: The same as long as the node runs.
    ///   - addresses: Where it listens, best first.
    ///   - weight: Its share of the calls, 1 to 1,000.
    ///   - zone: The place it runs in.
    ///   - state: Whether calls should go to it.
    ///   - version: The version of the service on it.
    ///   - metadata: Whatever else is known.
    ///   - codecs: The codecs it understands.
    ///   - rank: Those with the lowest are called first.
    public init(
        id: String, addresses: [String], weight: UInt32 = 100, zone: String = "",
        state: ServiceNode.State = .ready, version: String = "latest",
        metadata: [String: String] = [:], codecs: [String] = [], rank: Int = 0
    ) {
        self.id = id
        self.addresses = addresses
        self.weight = weight
        self.zone = zone
        self.state = state
        self.version = version
        self.metadata = metadata
        self.codecs = codecs
        self.rank = rank
    }

    /// What a register says of it.
    public init(_ node: ServiceNode) {
        self.init(
            id: node.id, addresses: node.addresses, weight: node.weight, zone: node.zone,
            state: node.state, version: node.version, metadata: node.metadata, codecs: node.codecs)
    }
}

/// The nodes of a service at one moment.
public struct Resolution: Sendable, Hashable {
    /// The name that was asked for.
    public var service: String
    /// Its nodes, of all versions and states, in a stable order, each id once.
    public var nodes: [ResolvedNode]
    /// Grows with every change of the nodes, within one resolver: equal revisions of a service are
    /// equal nodes.
    public var revision: UInt64
    /// How long ago contact with the source was lost: the nodes may be out of date by so much. Zero
    /// while they are current.
    public var age: Duration

    /// - Parameters:
    ///   - service: The name that was asked for.
    ///   - nodes: Its nodes.
    ///   - revision: The number of this state.
    ///   - age: How long ago contact with the source was lost.
    public init(
        service: String, nodes: [ResolvedNode], revision: UInt64, age: Duration = .zero
    ) {
        self.service = service
        self.nodes = nodes
        self.revision = revision
        self.age = age
    }
}
