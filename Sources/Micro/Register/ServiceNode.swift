/// One running instance of a service, as it announces itself in a register.
public struct ServiceNode: Sendable, Hashable {
    /// Unique among the nodes of its service; the same for as long as the instance runs.
    public var id: String
    /// The name that clients ask for: "greeter".
    public var service: String
    /// The version of the service: "1.2.0".
    public var version: String
    /// Which group of services it belongs to.
    public var namespace: String
    /// Where it listens, best first: "tcp://10.0.0.7:4711", "unix:///run/greeter".
    public var addresses: [String]
    /// Its share of the calls relative to the others, 1 to 1,000.
    public var weight: UInt32
    /// The place it runs in, such as an availability zone; empty when that is of no interest.
    public var zone: String
    /// Whether calls should go to it.
    public var state: State
    /// Whatever else is worth knowing about it.
    public var metadata: [String: String]
    /// The codecs it understands, in its order of preference: "json", "proto".
    public var codecs: [String]
    /// What can be called on it.
    public var methods: [EndpointDescription]

    /// How far a node is in its life.
    public struct State: Sendable, Hashable, CustomStringConvertible {
        enum Value: String, Sendable, Hashable { case starting, ready, draining }
        let value: Value

        /// It takes no calls yet.
        public static var starting: State { State(value: .starting) }
        /// It takes calls.
        public static var ready: State { State(value: .ready) }
        /// It is about to end: it gets calls only when there is no other.
        public static var draining: State { State(value: .draining) }

        /// "starting", "ready" or "draining".
        public var description: String { value.rawValue }

        init(value: Value) { self.value = value }

        /// The state of that name; nil when there is none.
        public init?(_ description: String) {
            guard let value = Value(rawValue: description) else { return nil }
            self.value = value
        }
    }

    /// What a register knows a node by.
    package struct Key: Sendable, Hashable, Comparable {
        var namespace: String
        var service: String
        var id: String

        package static func < (lhs: Key, rhs: Key) -> Bool {
            (lhs.namespace, lhs.service, lhs.id) < (rhs.namespace, rhs.service, rhs.id)
        }
    }

    package var key: Key { Key(namespace: namespace, service: service, id: id) }

    /// A node.
    ///
    /// - Parameters:
    ///   - id: Unique among the nodes of the service.
    ///   - service: The name that clients ask for.
    ///   - version: The version of the service.
    ///   - namespace: Which group of services it belongs to.
    ///   - addresses: Where it listens, best first, each with its scheme.
    ///   - weight: Its share of the calls relative to the others, 1 to 1,000.
    ///   - zone: The place it runs in.
    ///   - state: Whether calls should go to it.
    ///   - metadata: Whatever else is worth knowing.
    ///   - codecs: The codecs it understands, in order of preference.
    ///   - methods: What can be called on it.
    public init(
        id: String,
        service: String,
        version: String = "latest",
        namespace: String = RegisterNamespace.standard,
        addresses: [String],
        weight: UInt32 = 100,
        zone: String = "",
        state: State = .ready,
        metadata: [String: String] = [:],
        codecs: [String] = [],
        methods: [EndpointDescription] = []
    ) {
        self.id = id
        self.service = service
        self.version = version
        self.namespace = namespace
        self.addresses = addresses
        self.weight = weight
        self.zone = zone
        self.state = state
        self.metadata = metadata
        self.codecs = codecs
        self.methods = methods
    }
}
