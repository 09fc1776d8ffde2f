/// What calls do when they take long or go wrong: of a service, or of one of its endpoints. What is
/// nil is as the next wider policy says: the endpoint's, the service's, the client's options.
/// ``CallOptions`` win over all of them.
public struct CallPolicy: Sendable, Hashable, Codable {
    /// How long a call may take in all.
    public var timeout: Duration?
    /// How long one attempt may take.
    public var attemptTimeout: Duration?
    /// When it is tried again.
    public var retry: RetryPolicy?
    /// When it is sent to a second node while the first goes on.
    public var hedging: HedgingPolicy?
    /// When it is refused because most of those before failed.
    public var breaker: CircuitBreakerPolicy?
    /// How many there may be in a time, and at once (a bulkhead), of all event loops together; what
    /// is too much fails with `resourceExhausted` and is not sent.
    public var limits: CallLimits?

    /// Nothing is said but what is given.
    public init(
        timeout: Duration? = nil, attemptTimeout: Duration? = nil, retry: RetryPolicy? = nil,
        hedging: HedgingPolicy? = nil, breaker: CircuitBreakerPolicy? = nil,
        limits: CallLimits? = nil
    ) {
        self.timeout = timeout
        self.attemptTimeout = attemptTimeout
        self.retry = retry
        self.hedging = hedging
        self.breaker = breaker
        self.limits = limits
    }

    /// This policy, and where it says nothing `wider`.
    func filled(from wider: CallPolicy) -> CallPolicy {
        CallPolicy(
            timeout: timeout ?? wider.timeout,
            attemptTimeout: attemptTimeout ?? wider.attemptTimeout,
            retry: retry ?? wider.retry, hedging: hedging ?? wider.hedging,
            breaker: breaker ?? wider.breaker, limits: limits ?? wider.limits)
    }

    func problems(_ place: String) -> [String] {
        var problems: [String] = []
        for (name, duration) in [("timeout", timeout), ("attemptTimeout", attemptTimeout)] {
            guard let duration else { continue }
            if duration < .milliseconds(1) || duration > .seconds(86_400) {
                problems.append("\(place).\(name) is \(duration): it must be 1 ms to 1 day")
            }
        }
        problems += hedging?.problems("\(place).hedging") ?? []
        problems += breaker?.problems("\(place).breaker") ?? []
        problems += limits?.problems.map { "\(place).limits: \($0)" } ?? []
        return problems
    }
}
