/// When calls to an endpoint are refused before they are sent, because most of those before failed.
///
/// A call is refused with the probability max(0, (calls - ratio x accepted) / (calls + 1)), of the
/// window ("client-side throttling", Beyer et al., Site Reliability Engineering, 2016, chapter 21).
/// So a service that answers nothing is still asked now and then, and as soon as it answers, calls
/// go through. Only answers that say that a node is overloaded or broken count as failures, not the
/// service's own errors: a caller that asks for what does not exist breaks no circuit.
public struct CircuitBreakerPolicy: Sendable, Hashable, Codable {
    /// How many calls are sent for each that is accepted, at least 1; 2 by default. Less is
    /// stricter.
    public var ratio: Double
    /// How long a call counts. Default 10 s.
    public var window: Duration
    /// Calls in the window below which none is refused. Default 20.
    public var minCalls: Int
    /// Whether there is one.
    public var isOn: Bool

    /// Refuses nothing.
    public static let off = CircuitBreakerPolicy(isOn: false)

    /// The default, but for what is given.
    public init(
        ratio: Double = 2, window: Duration = .seconds(10), minCalls: Int = 20, isOn: Bool = true
    ) {
        self.ratio = ratio
        self.window = window
        self.minCalls = minCalls
        self.isOn = isOn
    }

    /// What is missing has its default.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let standard = CircuitBreakerPolicy()
        ratio = try values.value(.ratio, or: standard.ratio)
        window = try values.value(.window, or: standard.window)
        minCalls = try values.value(.minCalls, or: standard.minCalls)
        isOn = try values.value(.isOn, or: standard.isOn)
    }

    private enum CodingKeys: String, CodingKey {
        case ratio, window, minCalls
        case isOn = "on"
    }

    func problems(_ place: String) -> [String] {
        var problems: [String] = []
        if !(1...100).contains(ratio) {
            problems.append("\(place).ratio is \(ratio): it must be 1 to 100")
        }
        if window < .milliseconds(100) || window > .seconds(3600) {
            problems.append("\(place).window is \(window): it must be 100 ms to 1 h")
        }
        if !(1...1_000_000).contains(minCalls) {
            problems.append("\(place).minCalls is \(minCalls): it must be 1 to 1,000,000")
        }
        return problems
    }
}
