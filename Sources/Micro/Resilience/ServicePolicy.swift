/// How a client treats one service: how calls are spread over its nodes, and what they do when they
/// take long or go wrong.
///
/// ```swift
/// options.policies["payments"] = ServicePolicy(
///     calls: CallPolicy(timeout: .seconds(2)),
///     endpoints: [
///         "Payment.Get": CallPolicy(retry: .idempotent(attempts: 3), hedging: .slowest())
///     ])
/// ```
public struct ServicePolicy: Sendable, Hashable, Codable {
    /// How calls are spread over the nodes; nil: as the client does.
    public var balancing: BalancingPolicy?
    /// What all calls to the service do, where their endpoint says nothing.
    public var calls: CallPolicy
    /// What calls to an endpoint do, by its name.
    public var endpoints: [String: CallPolicy]

    /// Nothing is said but what is given.
    public init(
        balancing: BalancingPolicy? = nil, calls: CallPolicy = CallPolicy(),
        endpoints: [String: CallPolicy] = [:]
    ) {
        self.balancing = balancing
        self.calls = calls
        self.endpoints = endpoints
    }

    /// What is missing says nothing.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            balancing: try values.decodeIfPresent(BalancingPolicy.self, forKey: .balancing),
            calls: try values.decodeIfPresent(CallPolicy.self, forKey: .calls) ?? CallPolicy(),
            endpoints: try values.decodeIfPresent([String: CallPolicy].self, forKey: .endpoints)
                ?? [:])
    }

    func problems(_ place: String) -> [String] {
        var problems = balancing?.problems("\(place).balancing") ?? []
        problems += calls.problems("\(place).calls")
        for (name, policy) in endpoints.sorted(by: { $0.key < $1.key }) {
            problems += policy.problems("\(place).endpoints[\"\(name)\"]")
        }
        return problems
    }
}
