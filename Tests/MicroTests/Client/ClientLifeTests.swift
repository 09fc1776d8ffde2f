import Testing

@testable import Micro

/// Making, closing and dropping clients, their hooks and their options.
@Suite(.timeLimit(.minutes(10)))
struct ClientLifeTests {
    private func slowService(at address: String = "memory://greeter") -> MicroService {
        let service = makeService(at: address)
        service.handle("Slow") { (milliseconds: Int, context) -> Int in
            try await context.clock.sleep(for: .milliseconds(milliseconds))
            return milliseconds
        }
        service.handle(.hello) { request, context in Greeting(message: request.name) }
        return service
    }

    // MARK: The end

    @Test func closeWaitsForCallsAndCutsOffTheRest() async throws {
        try await withSimulation {
            let service = slowService()
            try await running(service) {
                let client = makeClient(at: "memory://greeter")
                let ends = Journal<String>()
                let callers = [500, 60_000].map { milliseconds in
                    Environment.current.spawn {
                        do {
                            _ = try await client.call(
                                "greeter", "Slow", milliseconds, as: Int.self,
                                options: CallOptions(timeout: .seconds(3600)))
                            ends.write("\(milliseconds) answered at \(virtualMilliseconds)")
                        } catch {
                            let code = (error as? MicroError)?.code.name ?? "\(error)"
                            ends.write("\(milliseconds) \(code) at \(virtualMilliseconds)")
                        }
                    }
                }
                try await Environment.current.clock.sleep(for: .milliseconds(100))
                await client.close(grace: .seconds(2))
                for caller in callers { await caller.wait() }
                #expect(
                    ends.entries == ["500 answered at 500", "60000 UNAVAILABLE at 2100"]
                        || ends.entries == ["500 answered at 500", "60000 CANCELLED at 2100"])
                let error = try await microError {
                    _ = try await client.call(.hello, Hello(name: "Ada"))
                }
                #expect(error.code == .unavailable)
                #expect(error.detail.contains("closed"))
                // The node has been told to stop.
                try await Environment.current.clock.sleep(for: .milliseconds(10))
                #expect(service.statistics.calls == 0)
                #expect(service.statistics.connections == 0)
            }
        }
    }

    @Test func closeIsIdempotentAndEveryCloseWaits() async throws {
        try await withSimulation {
            let service = slowService()
            try await running(service) {
                let client = makeClient(at: "memory://greeter")
                let ends = Journal<Int>()
                let caller = Environment.current.spawn {
                    _ = try? await client.call("greeter", "Slow", 1000, as: Int.self)
                }
                try await Environment.current.clock.sleep(for: .milliseconds(1))
                let closers = (0..<3).map { _ in
                    Environment.current.spawn {
                        await client.close()
                        ends.write(virtualMilliseconds)
                    }
                }
                for closer in closers { await closer.wait() }
                await caller.wait()
                #expect(ends.entries == [1000, 1000, 1000])
                await client.close()
                #expect(virtualMilliseconds == 1000)
            }
        }
    }

    @Test func aClientThatWasNeverUsedIsClosedToo() async throws {
        try await withSimulation {
            let service = slowService()
            try await running(service) {
                let client = makeClient(at: "memory://greeter")
                await client.close()
                for options in [CallOptions(), CallOptions(address: "memory://greeter")] {
                    let error = try await microError {
                        _ = try await client.call(.hello, Hello(name: "Ada"), options: options)
                    }
                    #expect(error.detail.contains("closed"))
                }
                #expect(service.statistics.connectionsTotal == 0)
            }
        }
    }

    /// A cancellation that is on its way to the loop when the client is gone must not reach it.
    @Test func cancelWhileClosing() async throws {
        let service = slowService(at: "tcp://127.0.0.1:0")
        try await running(service) {
            let address = try #require(service.addresses.first)
            for _ in 0..<50 {
                let client = makeClient(at: address)
                let callers = (0..<20).map { number in
                    Task {
                        _ = try? await client.call(
                            "greeter", "Slow", number * 10, as: Int.self)
                    }
                }
                _ = try await client.call(.hello, Hello(name: "Ada"))
                async let closed: Void = client.close(grace: .zero)
                for caller in callers { caller.cancel() }
                await closed
                for caller in callers { await caller.value }
            }
        }
    }

    @Test(arguments: Place.allCases)
    func droppingAClientClosesItsConnections(place: Place) async throws {
        try await place.run {
            let service = slowService(at: place.address("greeter"))
            try await running(service) {
                let address = try #require(service.addresses.first)
                do {
                    let client = makeClient(at: address)
                    _ = try await client.call(.hello, Hello(name: "Ada"))
                    #expect(service.statistics.connections == 1)
                }
                let clock = Environment.current.clock
                for _ in 0..<10_000 where service.statistics.connections > 0 {
                    try await clock.sleep(for: .milliseconds(1))
                }
                #expect(service.statistics.connections == 0)
            }
        }
    }

    // MARK: Hooks

    @Test func theFirstHookIsTheOutermost() async throws {
        try await withSimulation {
            let journal = Journal<String>()
            let service = slowService()
            let hooks = ["a", "b"].map { name -> ClientHook in
                { request, next in
                    journal.write("\(name) in \(request.service)/\(request.endpoint)")
                    let response = try await next(request)
                    journal.write("\(name) out \(response.body.count)")
                    return response
                }
            }
            try await running(service) {
                let client = Client(
                    resolver: StaticResolver(addresses: ["greeter": ["memory://greeter"]]),
                    hooks: hooks)
                _ = try await client.call(.hello, Hello(name: "Ada"))
                #expect(
                    journal.entries == [
                        "a in greeter/Greeter.Hello", "b in greeter/Greeter.Hello", "b out 17",
                        "a out 17",
                    ])
                await client.close()
            }
        }
    }

    private func calling(
        _ service: MicroService, through hook: @escaping ClientHook,
        _ body: (Client) async throws -> Void
    ) async throws {
        let client = Client(
            resolver: StaticResolver(addresses: ["greeter": ["memory://greeter"]]), hooks: [hook])
        try await body(client)
        await client.close()
    }

    @Test func aHookMayChangeTheRequestRefuseAndAnswer() async throws {
        try await withSimulation {
            let service = slowService()
            service.handle("Tenant") { (_: Empty, context) in context.metadata["tenant"] ?? "none" }
            try await running(service) {
                try await calling(service) { request, next in
                    var request = request
                    request.options.metadata["tenant"] = "acme"
                    return try await next(request)
                } _: { client in
                    let tenant: String = try await client.call("greeter", "Tenant", Empty())
                    #expect(tenant == "acme")
                }
                try await calling(service) { request, next in
                    throw MicroError.permissionDenied("hook", "not you")
                } _: { client in
                    let error = try await microError {
                        _ = try await client.call(.hello, Hello(name: "Ada"))
                    }
                    #expect(error.code == .permissionDenied)
                }
                try await calling(service) { request, next in
                    ClientResponse(body: Array(#"{"message":"cached"}"#.utf8))
                } _: { client in
                    let response = try await client.response(.hello, Hello(name: "Ada"))
                    #expect(response.reply.message == "cached")
                    #expect(response.report == CallReport())
                }
                #expect(service.statistics.callsTotal == 1)
            }
        }
    }

    @Test func whatAHookAddsIsCheckedToo() async throws {
        try await withSimulation {
            let service = slowService()
            try await running(service) {
                try await calling(service) { request, next in
                    var request = request
                    request.options.metadata["tenant"] = "a\nb"
                    return try await next(request)
                } _: { client in
                    let error = try await microError {
                        _ = try await client.call(.hello, Hello(name: "Ada"))
                    }
                    #expect(error.code == .invalidArgument)
                    #expect(error.detail.contains("tenant"))
                }
            }
        }
    }

    @Test func aHookMayMakeTheTimeoutShorterAndNotLonger() async throws {
        try await withSimulation {
            let service = slowService()
            try await running(service) {
                for (wanted, asked, given) in [(100, 5000, 100), (60_000, 300, 300)] {
                    let start = virtualMilliseconds
                    try await calling(service) { request, next in
                        var request = request
                        request.options.timeout = .milliseconds(wanted)
                        return try await next(request)
                    } _: { client in
                        let error = try await microError {
                            _ = try await client.call(
                                "greeter", "Slow", 3_600_000, as: Int.self,
                                options: CallOptions(timeout: .milliseconds(asked)))
                        }
                        #expect(error.code == .deadlineExceeded)
                    }
                    #expect(virtualMilliseconds - start == given)
                }
            }
        }
    }

    @Test func aHookMayTryAgain() async throws {
        try await withSimulation {
            let service = makeService()
            let calls = Tally()
            service.handle(.hello) { request, context in
                calls.add()
                if calls.value < 3 { throw MicroError("hello", .aborted, "again") }
                return Greeting(message: request.name)
            }
            try await running(service) {
                try await calling(service) { request, next in
                    for _ in 0..<2 {
                        do { return try await next(request) } catch let error as MicroError
                            where error.code == .aborted
                        {}
                    }
                    return try await next(request)
                } _: { client in
                    let reply = try await client.call(.hello, Hello(name: "Ada"))
                    #expect(reply.message == "Ada")
                }
                #expect(calls.value == 3)
            }
        }
    }

    // MARK: Options

    @Test func optionsThatMakeNoSenseAreNamedAllAtOnce() async throws {
        var options = ClientOptions()
        #expect(options.problems.isEmpty)
        options.keepaliveInterval = .zero
        #expect(options.problems.isEmpty)
        options.timeout = .zero
        options.maxMessageBytes = 0
        options.maxCallsPerLoop = .max
        options.connectTimeout = .seconds(-1)
        options.keepaliveInterval = .seconds(-1)
        options.reconnectMin = .seconds(60)
        options.retryBudgetPercent = -1
        let problems = options.problems
        for name in [
            "timeout", "maxMessageBytes", "maxCallsPerLoop", "connectTimeout", "keepaliveInterval",
            "reconnectMax", "retryBudgetPercent",
        ] {
            #expect(problems.contains { $0.contains("client options: \(name) is") })
        }
        #expect(problems.count == 7)
        try await withSimulation { [options] in
            let client = makeClient(at: "memory://greeter", options: options)
            let error = try await microError {
                _ = try await client.call(
                    .hello, Hello(name: "Ada"), options: CallOptions(timeout: .seconds(1)))
            }
            #expect(error.code == .invalidArgument)
            #expect(error.detail == problems.joined(separator: "; "))
        }
    }

    @Test func aCallBeyondTheLimitOfTheLoopIsRefused() async throws {
        try await withSimulation {
            let service = slowService()
            try await running(service) {
                var options = ClientOptions()
                options.maxCallsPerLoop = 2
                let client = makeClient(at: "memory://greeter", options: options)
                let callers = (0..<2).map { _ in
                    Environment.current.spawn {
                        _ = try? await client.call("greeter", "Slow", 1000, as: Int.self)
                    }
                }
                try await Environment.current.clock.sleep(for: .milliseconds(1))
                let error = try await microError {
                    _ = try await client.call(.hello, Hello(name: "Ada"))
                }
                #expect(error.code == .resourceExhausted)
                #expect(!error.wasWritten)
                for caller in callers { await caller.wait() }
                #expect(try await client.call(.hello, Hello(name: "Ada")).message == "Ada")
                await client.close()
            }
        }
    }

    /// More addresses than a client remembers: it forgets, and goes on.
    @Test func manyAddressesDoNotPileUp() async throws {
        try await withSimulation {
            let service = slowService()
            try await running(service) {
                let client = makeClient(at: "memory://greeter")
                for number in 0..<5000 {
                    let error = try await microError {
                        _ = try await client.call(
                            .hello, Hello(name: "Ada"),
                            options: CallOptions(address: "memory://gone-\(number)"))
                    }
                    #expect(error.code == .unavailable)
                }
                #expect(try await client.call(.hello, Hello(name: "Ada")).message == "Ada")
                await client.close()
            }
        }
    }
}
