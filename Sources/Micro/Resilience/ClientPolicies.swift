internal import Synchronization

/// How a client treats services and endpoints: the policies that it has now. Any thread.
final class ClientPolicies: Sendable {
    /// What calls do for which no policy says anything.
    private let standard: EndpointTerms
    private let options: ClientOptions
    /// Differs between clients: each uses a subset of its own.
    private let subsetKey: UInt64
    /// Grows with each change.
    private let version = Atomic<UInt64>(1)
    private let hasPolicies = Atomic<Bool>(false)
    private let state: Mutex<State>

    fileprivate struct State {
        var policies: [String: ServicePolicy]
        var terms: [EndpointKey: EndpointTerms] = [:]
        /// Kept over changes, so that what they have counted holds.
        var limiters: [EndpointKey: CoreLimiter] = [:]
    }

    struct EndpointKey: Sendable, Hashable {
        var service: String
        var endpoint: String
        /// Calls to one address break no circuit for the others.
        var address: String?
    }

    init(_ options: ClientOptions, subsetKey: UInt64) {
        self.options = options
        self.subsetKey = subsetKey
        standard = EndpointTerms(options.calls, limiter: nil)
        state = Mutex(State(policies: options.policies))
        hasPolicies.store(!options.policies.isEmpty, ordering: .relaxed)
    }

    /// What was told holds as long as this stays the same.
    var stamp: UInt64 { version.load(ordering: .acquiring) }

    /// All of them, by service.
    var all: [String: ServicePolicy] { state.withLock { $0.policies } }

    /// Exchanges all of them.
    func set(_ policies: [String: ServicePolicy]) throws(MicroError) {
        let problems = ClientPolicies.problems(policies)
        guard problems.isEmpty else {
            throw MicroError.invalid("client.policies", problems.joined(separator: "; "))
        }
        state.withLock { state in
            state.policies = policies
            state.terms = [:]
            hasPolicies.store(true, ordering: .relaxed)
            version.add(1, ordering: .releasing)
        }
    }

    static func problems(_ policies: [String: ServicePolicy]) -> [String] {
        policies.sorted { $0.key < $1.key }.flatMap {
            $0.value.problems("policies[\"\($0.key)\"]")
        }
    }

    /// What calls to an endpoint do.
    func terms(_ service: String, _ endpoint: String) throws(MicroError) -> EndpointTerms {
        guard hasPolicies.load(ordering: .relaxed) else { return standard }
        let key = EndpointKey(service: service, endpoint: endpoint)
        do {
            return try state.withLock { state in
                if let known = state.terms[key] { return known }
                // Names come from the program, but a gateway's may come from outside.
                if state.terms.count >= ClientPolicies.endpointsMax {
                    state.terms = [:]
                    state.limiters = [:]
                }
                let terms = try state.makeTerms(of: key, options)
                state.terms[key] = terms
                return terms
            }
        } catch {
            throw MicroError(error, id: "client.policies")
        }
    }

    private static let endpointsMax = 4096

    /// The policy of an endpoint with all that wider ones say.
    func policy(_ service: String, _ endpoint: String) -> CallPolicy {
        state.withLock { $0.policy(EndpointKey(service: service, endpoint: endpoint), options) }
    }

    /// How calls to a service are spread.
    func balancing(of service: String) -> BalancingPolicy {
        state.withLock { $0.policies[service]?.balancing } ?? options.balancing
    }

    func targetSettings(of service: String) -> TargetSettings {
        TargetSettings(balancing(of: service), subsetKey: subsetKey)
    }
}

extension ClientPolicies.State {
    fileprivate func policy(
        _ key: ClientPolicies.EndpointKey, _ options: ClientOptions
    ) -> CallPolicy {
        guard let service = policies[key.service] else { return options.calls }
        let ofEndpoint = service.endpoints[key.endpoint] ?? CallPolicy()
        return ofEndpoint.filled(from: service.calls).filled(from: options.calls)
    }

    fileprivate mutating func makeTerms(
        of key: ClientPolicies.EndpointKey, _ options: ClientOptions
    ) throws -> EndpointTerms {
        let policy = policy(key, options)
        guard policy.limits != nil || limiters[key] != nil else {
            return EndpointTerms(policy, limiter: nil)
        }
        let settings = (policy.limits ?? CallLimits()).settings
        let limiter: CoreLimiter
        if let known = limiters[key] {
            limiter = known
            try limiter.configure(settings)
        } else {
            limiter = try CoreLimiter(settings)
            limiters[key] = limiter
        }
        return EndpointTerms(policy, limiter: limiter)
    }
}

/// What calls to an endpoint do where their own options say nothing. Times are in nanoseconds.
struct EndpointTerms: Sendable {
    let timeout: UInt64
    /// 0: none of its own.
    let attemptTimeout: UInt64
    let retry: RetryPolicy
    let group: CallGroupSettings

    init(_ policy: CallPolicy, limiter: CoreLimiter?) {
        timeout = (policy.timeout ?? .seconds(5)).unsignedNanoseconds
        attemptTimeout = policy.attemptTimeout?.unsignedNanoseconds ?? 0
        retry = policy.retry ?? .unprocessed(attempts: 3)
        var group = CallGroupSettings()
        if let breaker = policy.breaker, breaker.isOn {
            group.breakerPercent = breaker.ratio.percent
            group.breakerWindow = breaker.window
            group.breakerMinCalls = UInt32(clamping: breaker.minCalls)
        }
        if let hedging = policy.hedging, hedging.percent > 0 {
            group.hedgeDelay = hedging.after ?? .zero
            group.hedgePercent = UInt32(clamping: hedging.percent)
        }
        group.limiter = limiter
        self.group = group
    }
}

extension TargetSettings {
    init(_ policy: BalancingPolicy, subsetKey: UInt64) {
        self.init()
        pick = policy.selector.policy
        zone = policy.zone
        subsetSize = UInt32(clamping: policy.subsetSize)
        self.subsetKey = subsetKey
        slowStart = policy.slowStart
        maxLoadPercent = UInt32(clamping: policy.maxLoadPercent)
        ejectFailures = UInt32(clamping: policy.ejection.failuresInARow)
        ejectsBySuccessRate = policy.ejection.bySuccessRate
        ejectLatencyPercent = policy.ejection.latencyRatio.percent
        ejectTime = policy.ejection.baseTime
        ejectTimeMax = policy.ejection.maxTime
        ejectPercentMax = UInt32(clamping: policy.ejection.maxPercent)
        panicPercent = UInt32(clamping: policy.ejection.panicPercent)
        guard let check = policy.healthCheck else { return }
        healthInterval = check.interval
        healthTimeout = check.timeout
        unhealthyAfter = UInt32(clamping: check.unhealthyAfter)
        healthyAfter = UInt32(clamping: check.healthyAfter)
        healthService = check.service
    }
}

extension Double {
    /// As the core takes it. Defined for every number: terms are made before the options are
    /// checked, which refuse those that can't be.
    fileprivate var percent: UInt32 {
        let percent = Double.minimum(Double.maximum(self * 100, 0), Double(UInt32.max))
        return UInt32(percent.rounded())
    }
}
