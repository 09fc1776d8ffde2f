import Testing

@testable import Micro

/// Limits of endpoints and of servers, in virtual time.
@Suite(.timeLimit(.minutes(10)))
struct CallLimitsTests {
    private func hello(
        _ client: Client, _ priority: CallPriority? = nil, timeout: Duration = .seconds(60)
    ) async throws -> Greeting {
        var options = CallOptions(timeout: timeout, retry: .never)
        if let priority { options.priority = priority }
        return try await client.call(.hello, Hello(name: "Ada"), options: options)
    }

    private func quick(_ service: MicroService) {
        service.handle(.hello) { request, context in Greeting(message: request.name) }
    }

    private func slow(_ service: MicroService) {
        service.handle(.hello) { (request: Hello, context) async throws -> Greeting in
            try await context.clock.sleep(for: .seconds(1))
            return Greeting(message: request.name)
        }
    }

    /// How many of `count` calls at once are served.
    private func served(_ count: Int, by client: Client) async -> Int {
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<count {
                group.addTask { (try? await self.hello(client)) != nil }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
    }

    @Test func aRateIsKept() async throws {
        try await withSimulation {
            let service = makeService {
                $0.server.endpointLimits["Greeter.Hello"] = CallLimits(
                    rate: .tokens(10, per: .seconds(1), burst: 3))
            }
            quick(service)
            try await running(service) {
                #expect(await served(8, by: service.client) == 3)
                let error = try await microError { _ = try await hello(service.client) }
                #expect(error.code == .resourceExhausted)
                #expect(error.detail.contains("the rate limit of the endpoint is reached"))
                try await Environment.current.clock.sleep(for: .milliseconds(200))
                #expect(await served(8, by: service.client) == 2)
                #expect(service.statistics.callsRefused == 12)
                #expect(service.statistics.callsShed == 0)
            }
        }
    }

    @Test func aBulkheadIsKeptAndSheddableCallsGetLess() async throws {
        try await withSimulation {
            let service = makeService {
                $0.server.endpointLimits["Greeter.Hello"] = CallLimits(concurrency: .fixed(4))
            }
            slow(service)
            try await running(service) {
                #expect(await served(9, by: service.client) == 4)
                #expect(await served(9, by: service.client) == 4)
                let client = service.client
                let sheddable = await withTaskGroup(of: Bool.self) { group in
                    for _ in 0..<9 {
                        group.addTask { (try? await self.hello(client, .sheddable)) != nil }
                    }
                    return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                #expect(sheddable == 3)
            }
        }
    }

    @Test func limitsAreChangedWhileTheyHold() async throws {
        try await withSimulation {
            let service = makeService()
            slow(service)
            try await running(service) {
                #expect(await served(9, by: service.client) == 9)
                try service.setLimits(CallLimits(concurrency: .fixed(2)), of: "Greeter.Hello")
                #expect(await served(9, by: service.client) == 2)
                try service.setLimits(CallLimits(), of: "Greeter.Hello")
                try service.setLimits(CallLimits(rate: .window(5, per: .seconds(10))))
                #expect(service.limits() == CallLimits(rate: .window(5, per: .seconds(10))))
                #expect(service.limits(of: "Greeter.Hello") == CallLimits())
                #expect(await served(9, by: service.client) == 5)
                let error = try await microError { _ = try await hello(service.client) }
                #expect(error.detail.contains("the rate limit of the server is reached"))

                let unknown = try await microError {
                    try service.setLimits(CallLimits(), of: "Nobody")
                }
                #expect(unknown.code == .notFound)
                let bad = try await microError {
                    try service.setLimits(CallLimits(concurrency: .fixed(0)))
                }
                #expect(bad.code == .invalidArgument)
                #expect(service.limits() == CallLimits(rate: .window(5, per: .seconds(10))))
            }
        }
    }

    @Test func anAdaptiveLimitStaysWithinItsRange() async throws {
        try await withSimulation {
            let service = makeService {
                $0.server.callLimits = CallLimits(concurrency: .adaptive(5...50))
            }
            slow(service)
            try await running(service) {
                // It begins at its tenth, or its least, of which a tenth is kept.
                #expect(await served(60, by: service.client) == 5)
                for _ in 0..<150 { _ = await served(60, by: service.client) }
                #expect(await served(60, by: service.client) == 45)
            }
        }
    }

    @Test func whatIsWrongIsSaidByTheStart() async throws {
        try await withSimulation {
            let service = makeService {
                $0.server.endpointLimits["Nobody"] = CallLimits(concurrency: .adaptive(1...2))
                $0.server.endpointLimits["Greeter.Hello"] = CallLimits(
                    rate: .tokens(0, per: .seconds(1)), concurrency: .fixed(0))
                $0.server.callLimits.rate = .window(1, per: .zero)
                $0.server.loadShedding = LoadShedding(maxDelay: .zero, interval: .zero)
            }
            quick(service)
            let error = try await microError { try await service.start() }
            for part in [
                "\"Nobody\" is not served", "the rate limit is 0 in", "at the same time is 0",
                "the period of a rate limit is", "loadShedding.maxDelay", "loadShedding.interval",
            ] { #expect(error.detail.contains(part), "\(part): \(error.detail)") }
        }
    }

    @Test(
        arguments: [
            (RateLimit.tokens(100, per: .seconds(1)), true),
            (.tokens(1, per: .seconds(86_400), burst: 10_000), true),
            (.tokens(1_000_000, per: .milliseconds(1)), true),
            (.tokens(1_000_001, per: .milliseconds(1)), false),
            (.tokens(1, per: .seconds(86_400), burst: 1_000_000), false),
            (.tokens(10, per: .seconds(1), burst: 0), false),
            (.tokens(-1, per: .seconds(1)), false), (.window(0, per: .seconds(1)), false),
            (.window(5, per: .microseconds(999)), false),
            (.window(5, per: .seconds(86_401)), false),
            (.window(1_000_000_000, per: .seconds(1)), true),
        ])
    func ratesThatCanBeAndThatCanNot(rate: RateLimit, isGood: Bool) throws {
        #expect((rate.problem == nil) == isGood, "\(rate.problem ?? "no problem")")
        guard isGood else { return }
        _ = try CoreLimiter(CallLimits(rate: rate).settings)
    }
}

/// Priorities travel.
@Suite(.timeLimit(.minutes(10)))
struct CallPriorityTests {
    @Test func thePriorityIsInherited() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let journal = Journal<String>()
            let (a, b) = (makeService("a", in: register), makeService("b", in: register))
            b.handle("Go") { (name: String, context) -> Empty in
                journal.write("\(name): \(context.priority)")
                return Empty()
            }
            a.handle("Go") { (_: Empty, context) -> Empty in
                let _: Empty = try await context.client.call("b", "Go", "inherited")
                var own = CallOptions()
                own.priority = .sheddable
                return try await context.client.call("b", "Go", "own", options: own)
            }
            try await running(b, a) {
                var options = CallOptions()
                #expect(options.priority == .normal)
                options.priority = .critical
                let _: Empty = try await a.client.call("a", "Go", Empty(), options: options)
                let _: Empty = try await a.client.call("b", "Go", "none")
                options.metadata["micro-priority"] = "whatever"
                let _: Empty = try await a.client.call("b", "Go", "unknown", options: options)
                #expect(
                    journal.entries == [
                        "inherited: critical", "own: sheddable", "none: normal", "unknown: normal",
                    ])
            }
        }
    }
}
