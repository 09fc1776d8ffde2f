/// When a node gets no calls for a while, because those before went wrong. Only what the transport
/// tells counts: requests that were lost, and those that got no byte of an answer in time. What a
/// node answers ejects nobody.
public struct OutlierEjection: Sendable, Hashable, Codable {
    /// Failures in a row; 0: that ejects nobody. Default 5.
    public var failuresInARow = 5
    /// Whether a node is ejected whose share of answers lies far below that of the others
    /// (Envoy's success-rate detection: the mean less 1.9 standard deviations). Default true.
    public var bySuccessRate = true
    /// So many times slower than the median of the others; 0: that ejects nobody, since the
    /// balancer gives slow nodes fewer calls anyway. Default 0.
    public var latencyRatio = 0.0
    /// How long the first time; so many times as long the next, and so on. Default 1 s.
    public var baseTime: Duration = .seconds(1)
    /// The longest. Default 30 s.
    public var maxTime: Duration = .seconds(30)
    /// So many of 100 nodes at the most. Default 50.
    public var maxPercent = 50
    /// When fewer than so many of 100 nodes are left, the ejected ones are used as well. Default
    /// 50.
    public var panicPercent = 50

    /// The defaults.
    public init() {}

    /// What is missing has its default.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let standard = OutlierEjection()
        failuresInARow = try values.value(.failuresInARow, or: standard.failuresInARow)
        bySuccessRate = try values.value(.bySuccessRate, or: standard.bySuccessRate)
        latencyRatio = try values.value(.latencyRatio, or: standard.latencyRatio)
        baseTime = try values.value(.baseTime, or: standard.baseTime)
        maxTime = try values.value(.maxTime, or: standard.maxTime)
        maxPercent = try values.value(.maxPercent, or: standard.maxPercent)
        panicPercent = try values.value(.panicPercent, or: standard.panicPercent)
    }

    /// No node is ever ejected.
    public static let off = {
        var off = OutlierEjection()
        off.failuresInARow = 0
        off.bySuccessRate = false
        return off
    }()

    func problems(_ place: String) -> [String] {
        var problems: [String] = []
        if !(0...1000).contains(failuresInARow) {
            problems.append("\(place).failuresInARow is \(failuresInARow): it must be 0 to 1,000")
        }
        if latencyRatio != 0, !(1.5...1000).contains(latencyRatio) {
            problems.append(
                "\(place).latencyRatio is \(latencyRatio): it must be 0 (never) or 1.5 to 1,000")
        }
        if baseTime < .milliseconds(1) || baseTime > maxTime || maxTime > .seconds(86_400) {
            problems.append(
                "\(place).baseTime is \(baseTime) and maxTime \(maxTime): they must be 1 ms to 1 "
                    + "day, in this order")
        }
        for (name, value) in [("maxPercent", maxPercent), ("panicPercent", panicPercent)]
        where !(0...100).contains(value) {
            problems.append("\(place).\(name) is \(value): it must be 0 to 100")
        }
        return problems
    }
}
