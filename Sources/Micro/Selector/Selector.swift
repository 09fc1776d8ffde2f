/// How a client picks one of the nodes that can serve a call.
///
/// The picking itself is done in the core, for each event loop on its own. Nodes that were tried
/// for the same call, that drain, that were ejected or that back off after a failed connect are
/// picked only when there is no other.
///
/// A call with a ``CallOptions/hashKey`` goes to the node that the key says, whatever the selector,
/// as long as that node can be used.
public struct Selector: Sendable, Hashable, Codable, CustomStringConvertible {
    let policy: UInt32
    /// Its name, as ``init(named:)`` takes it.
    public let description: String

    /// Any node, as likely as its weight says.
    public static let random = Selector(policy: PickPolicy.random, description: "random")
    /// One after the other, by weight and smoothly; goes on where it was when the nodes change.
    public static let roundRobin = Selector(
        policy: PickPolicy.roundRobin, description: "round_robin")
    /// The better of two random ones, by its recent latency and its calls in flight. The default.
    public static let p2c = Selector(policy: PickPolicy.p2c, description: "p2c")
    /// The one of two random ones with fewer calls in flight for its weight.
    public static let leastRequest = Selector(
        policy: PickPolicy.leastRequest, description: "least_request")
    /// By the call's key, on a ring: when a node leaves, only its keys move. A node that has more
    /// than ``BalancingPolicy/maxLoadPercent`` of the mean load passes keys on to the next
    /// (Mirrokni et al., Consistent Hashing with Bounded Loads, 2018).
    public static let ringHash = Selector(policy: PickPolicy.ringHash, description: "ring_hash")
    /// By the call's key, from a table: the fastest, and the most even; when a node leaves, a few
    /// keys of the others move too (Eisenbud et al., Maglev, 2016).
    public static let maglev = Selector(policy: PickPolicy.maglev, description: "maglev")
    /// By the call's key, to the node for which the hash of both is the highest: even, by weight,
    /// and only the keys of a node that leaves move (Thaler and Ravishankar, 1998).
    public static let rendezvous = Selector(
        policy: PickPolicy.rendezvous, description: "rendezvous")

    /// All there are.
    public static let all: [Selector] = [
        .random, .roundRobin, .p2c, .leastRequest, .ringHash, .maglev, .rendezvous,
    ]

    /// The selector of that name ("random", "round_robin", "p2c", …), or nil.
    public init?(named name: String) {
        guard let known = Selector.all.first(where: { $0.description == name }) else { return nil }
        self = known
    }

    /// From its name.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let name = try container.decode(String.self)
        guard let known = Selector(named: name) else {
            throw DecodingError.dataCorruptedError(
                in: container,
                debugDescription: "\(RegisterName.excerpt(name)) is not a selector: there are "
                    + Selector.all.map(\.description).joined(separator: ", "))
        }
        self = known
    }

    /// Its name.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    private init(policy: UInt32, description: String) {
        self.policy = policy
        self.description = description
    }
}
