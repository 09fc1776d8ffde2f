/// Whether the nodes of a service are asked for their health, with gRPC's health protocol, also
/// when nobody calls them. A node that does not serve the protocol counts as healthy.
public struct HealthCheckPolicy: Sendable, Hashable, Codable {
    /// Between two questions, give or take a tenth. Default 5 s.
    public var interval: Duration
    /// How long an answer may take. Default 1 s.
    public var timeout: Duration
    /// Bad answers in a row that take a node out. Default 2.
    public var unhealthyAfter: Int
    /// Good answers in a row that bring it back. Default 1.
    public var healthyAfter: Int
    /// What is asked for: the name of a service of the node, "package.Service"; empty: the node.
    public var service: String

    /// The defaults, but for what is given.
    public init(
        interval: Duration = .seconds(5), timeout: Duration = .seconds(1), unhealthyAfter: Int = 2,
        healthyAfter: Int = 1, service: String = ""
    ) {
        self.interval = interval
        self.timeout = timeout
        self.unhealthyAfter = unhealthyAfter
        self.healthyAfter = healthyAfter
        self.service = service
    }

    /// What is missing has its default.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let standard = HealthCheckPolicy()
        interval = try values.value(.interval, or: standard.interval)
        timeout = try values.value(.timeout, or: standard.timeout)
        unhealthyAfter = try values.value(.unhealthyAfter, or: standard.unhealthyAfter)
        healthyAfter = try values.value(.healthyAfter, or: standard.healthyAfter)
        service = try values.value(.service, or: standard.service)
    }

    func problems(_ place: String) -> [String] {
        var problems: [String] = []
        if interval < .milliseconds(100) || interval > .seconds(86_400) {
            problems.append("\(place).interval is \(interval): it must be 100 ms to 1 day")
        }
        if timeout < .milliseconds(1) || timeout > .seconds(60) {
            problems.append("\(place).timeout is \(timeout): it must be 1 ms to 60 s")
        }
        let counts = [("unhealthyAfter", unhealthyAfter), ("healthyAfter", healthyAfter)]
        for (name, value) in counts where !(1...100).contains(value) {
            problems.append("\(place).\(name) is \(value): it must be 1 to 100")
        }
        if service.utf8.count > 255 {
            problems.append("\(place).service has more than 255 bytes")
        }
        return problems
    }
}
