import Testing

@testable import Micro

@Suite struct ServicePolicyTests {
    private func decoded(_ text: String) throws -> ServicePolicy {
        try JSONCodec().decode(ServicePolicy.self, from: Array(text.utf8).span.bytes)
    }

    @Test func itSaysOnlyWhatItChanges() throws {
        let policy = try decoded(
            """
            {"balancing": {"selector": "ring_hash", "ejection": {"maxPercent": 30}},
             "calls": {"retry": {"attempts": 2}},
             "endpoints": {"Payment.Get": {"retry": {"attempts": 3, "idempotent": true},
                                           "hedging": {"percent": 5},
                                           "breaker": {"on": false}}}}
            """)
        var ejection = OutlierEjection()
        ejection.maxPercent = 30
        #expect(policy.balancing?.selector == .ringHash)
        #expect(policy.balancing?.ejection == ejection)
        #expect(policy.calls == CallPolicy(retry: .unprocessed(attempts: 2)))
        let get = try #require(policy.endpoints["Payment.Get"])
        #expect(get.retry == .idempotent(attempts: 3))
        #expect(get.hedging == .slowest(percent: 5))
        #expect(get.breaker == .off)
        #expect(policy.problems("p").isEmpty)
    }

    @Test func itComesBackAsItWas() throws {
        var policy = ServicePolicy(
            calls: CallPolicy(
                timeout: .seconds(2), hedging: .after(.milliseconds(50)),
                limits: CallLimits(
                    rate: .tokens(100, per: .seconds(1), burst: 20), concurrency: .fixed(7))))
        policy.balancing = BalancingPolicy(selector: .maglev)
        policy.balancing?.healthCheck = HealthCheckPolicy(service: "a.B")
        policy.endpoints["A.B"] = CallPolicy(retry: .never)
        let text = try JSONCodec().encode(policy)
        #expect(try JSONCodec().decode(ServicePolicy.self, from: text.span.bytes) == policy)
    }

    @Test func theNarrowerPolicyWins() {
        let few = CallLimits(concurrency: .fixed(5))
        let wide = CallPolicy(timeout: .seconds(1), retry: .never, limits: few)
        let narrow = CallPolicy(timeout: .seconds(2), hedging: .slowest())
        #expect(
            narrow.filled(from: wide)
                == CallPolicy(
                    timeout: .seconds(2), retry: .never, hedging: .slowest(), limits: few))
    }

    @Test func anUnknownSelectorIsNamed() {
        let error = #expect(throws: (any Error).self) {
            _ = try decoded(#"{"balancing": {"selector": "best"}}"#)
        }
        #expect("\(error.map { "\($0)" } ?? "")".contains("\"best\" is not a selector"))
    }

    /// However far it is from what can be.
    @Test(arguments: [1e300, -1e300, .infinity, .nan])
    func aRatioThatCanNotBeIsRefusedByTheFirstCall(ratio: Double) async throws {
        try await withSimulation {
            var options = ClientOptions()
            options.breaker.ratio = ratio
            options.balancing.ejection.latencyRatio = ratio
            options.policies["greeter"] = ServicePolicy(
                calls: CallPolicy(breaker: CircuitBreakerPolicy(ratio: ratio)))
            let client = makeClient(at: "memory://greeter", options: options)
            _ = try await client.explain("greeter", "Greeter.Hello")
            let error = try await microError {
                _ = try await client.call(.hello, Hello(name: "Ada"))
            }
            #expect(error.code == .invalidArgument)
            for place in ["breaker", "balancing.ejection.latencyRatio", "calls.breaker.ratio"] {
                #expect(error.detail.contains(place), "\(place): \(error.detail)")
            }
            await client.close()
        }
    }

    /// Each mistake is named by where it stands.
    @Test func whatCanNotBeIsNamed() {
        var policy = ServicePolicy()
        policy.balancing = BalancingPolicy()
        policy.balancing?.maxLoadPercent = 100
        policy.balancing?.subsetSize = -1
        policy.balancing?.slowStart = .seconds(-1)
        policy.balancing?.ejection.maxPercent = 101
        policy.balancing?.ejection.failuresInARow = -1
        policy.balancing?.ejection.latencyRatio = 1
        policy.balancing?.ejection.baseTime = .zero
        policy.balancing?.healthCheck = HealthCheckPolicy(interval: .zero, healthyAfter: 0)
        policy.calls.timeout = .zero
        policy.calls.breaker = CircuitBreakerPolicy(ratio: .nan, window: .zero, minCalls: 0)
        policy.endpoints["A.B"] = CallPolicy(
            hedging: .after(.zero, percent: 101),
            limits: CallLimits(concurrency: .fixed(0)))
        let problems = policy.problems("policies[\"s\"]")
        for place in [
            "balancing.maxLoadPercent", "balancing.subsetSize", "balancing.slowStart",
            "balancing.ejection.maxPercent", "balancing.ejection.failuresInARow",
            "balancing.ejection.latencyRatio", "balancing.ejection.baseTime",
            "balancing.healthCheck.interval", "balancing.healthCheck.healthyAfter",
            "calls.timeout", "calls.breaker.ratio", "calls.breaker.window",
            "calls.breaker.minCalls", "endpoints[\"A.B\"].hedging.after",
            "endpoints[\"A.B\"].hedging.percent", "endpoints[\"A.B\"].limits:",
        ] {
            #expect(
                problems.contains { $0.hasPrefix("policies[\"s\"].\(place) ") }, "\(place)")
        }
        #expect(problems.count == 16)
    }
}
