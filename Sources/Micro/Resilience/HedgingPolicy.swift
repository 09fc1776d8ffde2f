/// When a call that takes long is sent to a second node, while the first goes on: the first good
/// answer counts, and the other node is told to stop. Only calls that are idempotent and have one
/// message each way are hedged, and what it costs is taken from the retries' budget.
public struct HedgingPolicy: Sendable, Hashable, Codable {
    /// How long the first node has for its answer; nil: as long as 95 % of the endpoint's recent
    /// calls have taken.
    public var after: Duration?
    /// So many of 100 calls may be hedged, 0 (none) to 100. Default 10.
    public var percent: Int

    private init(after: Duration? = nil, percent: Int) {
        self.after = after
        self.percent = percent
    }

    /// What is missing has its default.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        after = try values.decodeIfPresent(Duration.self, forKey: .after)
        percent = try values.value(.percent, or: 10)
    }

    /// No call is hedged.
    public static let off = HedgingPolicy(percent: 0)

    /// After a fixed time.
    public static func after(_ delay: Duration, percent: Int = 10) -> HedgingPolicy {
        HedgingPolicy(after: delay, percent: percent)
    }

    /// When a call takes longer than 95 % of the endpoint's recent ones.
    public static func slowest(percent: Int = 10) -> HedgingPolicy {
        HedgingPolicy(percent: percent)
    }

    func problems(_ place: String) -> [String] {
        var problems: [String] = []
        if let after, after < .milliseconds(1) || after > .seconds(3600) {
            problems.append("\(place).after is \(after): it must be 1 ms to 1 h")
        }
        if !(0...100).contains(percent) {
            problems.append("\(place).percent is \(percent): it must be 0 (none) to 100")
        }
        return problems
    }
}
