/// How a client picks one of the nodes that can serve a call.
///
/// The picking itself is done in the core, for each event loop on its own. Nodes that were tried
/// for the same call, that drain, or that back off after a failed connect are picked only when
/// there is no other.
public struct Selector: Sendable, Hashable, CustomStringConvertible {
    let policy: UInt32
    /// The policy's name.
    public let description: String

    /// Any node, all equally likely.
    public static let random = Selector(policy: PickPolicy.random, description: "random")
    /// One after the other, by weight and smoothly; goes on where it was when the nodes change.
    public static let roundRobin = Selector(
        policy: PickPolicy.roundRobin, description: "round robin")
    /// The better of two random ones, by its recent latency and its calls in flight. The default.
    public static let p2c = Selector(policy: PickPolicy.p2c, description: "p2c")

    /// The selector of that name ("random", "round_robin", "p2c"), or nil.
    public init?(named name: String) {
        switch name {
        case "random": self = .random
        case "round_robin": self = .roundRobin
        case "p2c": self = .p2c
        default: return nil
        }
    }

    private init(policy: UInt32, description: String) {
        self.policy = policy
        self.description = description
    }
}
