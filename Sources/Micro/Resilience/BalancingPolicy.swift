/// How the calls to a service are spread over its nodes.
public struct BalancingPolicy: Sendable, Hashable, Codable {
    /// How a node is picked. Default: P2C.
    public var selector = Selector.p2c
    /// Nodes of this zone are preferred, as long as enough of them can be used; empty: zones don't
    /// matter. Default: that of the service whose client it is.
    public var zone = ""
    /// How many of the nodes this client uses, always the same ones as long as they are there; 0:
    /// all. For services with so many callers and nodes that each caller should not connect to each
    /// node. Default 0.
    public var subsetSize = 0
    /// A node that comes gets its full share of the calls only after so long; before that, a share
    /// that grows from a tenth. Zero: at once. Default: zero.
    public var slowStart: Duration = .zero
    /// Ring hash: how much of the mean load one node may have, in percent, before its keys go to
    /// the next. Default 125.
    public var maxLoadPercent = 125
    /// When a node gets no calls for a while, because those before went wrong.
    public var ejection = OutlierEjection()
    /// Whether nodes are asked for their health. Default: no.
    public var healthCheck: HealthCheckPolicy?

    /// The defaults, but for the selector.
    public init(selector: Selector = .p2c) { self.selector = selector }

    /// What is missing has its default.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let standard = BalancingPolicy()
        selector = try values.value(.selector, or: standard.selector)
        zone = try values.value(.zone, or: standard.zone)
        subsetSize = try values.value(.subsetSize, or: standard.subsetSize)
        slowStart = try values.value(.slowStart, or: standard.slowStart)
        maxLoadPercent = try values.value(.maxLoadPercent, or: standard.maxLoadPercent)
        ejection = try values.value(.ejection, or: standard.ejection)
        healthCheck = try values.decodeIfPresent(HealthCheckPolicy.self, forKey: .healthCheck)
    }

    func problems(_ place: String) -> [String] {
        var problems: [String] = []
        if zone.utf8.count > 255 { problems.append("\(place).zone has more than 255 bytes") }
        if !(0...65_536).contains(subsetSize) {
            problems.append("\(place).subsetSize is \(subsetSize): it must be 0 (all) to 65,536")
        }
        if slowStart < .zero || slowStart > .seconds(3600) {
            problems.append("\(place).slowStart is \(slowStart): it must be 0 to 1 h")
        }
        if !(101...1000).contains(maxLoadPercent) {
            problems.append("\(place).maxLoadPercent is \(maxLoadPercent): it must be 101 to 1,000")
        }
        problems += ejection.problems("\(place).ejection")
        problems += healthCheck?.problems("\(place).healthCheck") ?? []
        return problems
    }
}
