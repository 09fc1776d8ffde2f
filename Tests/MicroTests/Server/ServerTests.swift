import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(10)))
struct ServerTests {
    private func call(_ address: String, _ endpoint: String = "Hello") async throws -> String {
        let client = makeClient(at: address)
        do {
            let reply: String = try await client.call(
                "greeter", endpoint, "Ada",
                options: CallOptions(timeout: .seconds(3600), address: address))
            await client.close()
            return reply
        } catch {
            await client.close()
            throw error
        }
    }

    private func makeServer(_ addresses: String...) -> Server {
        var options = ServerOptions.patient()
        options.addresses = addresses
        let server = Server(name: "greeter", options: options)
        server.handle("Hello") { (name: String, context) in "Hello, \(name)" }
        return server
    }

    // MARK: Starting

    @Test(arguments: Place.allCases)
    func severalAddressesAreServed(place: Place) async throws {
        try await place.run {
            let server = makeServer(place.address("a"), place.address("b"))
            #expect(server.addresses.isEmpty)
            try await server.start()
            #expect(Set(server.addresses).count == 2)
            for address in server.addresses { #expect(try await call(address) == "Hello, Ada") }
            #expect(server.statistics.callsTotal == 2)
            #expect(server.statistics.callsTotalByLoop.reduce(0, +) == 2)
            #expect(try await server.drain() == 0)
            #expect(server.addresses.isEmpty)
            #expect(server.statistics == ServerStatistics())
        }
    }

    @Test func aServerStartsOnce() async throws {
        try await withSimulation {
            let server = makeServer("memory://a")
            try await server.start()
            let second = try await microError { try await server.start() }
            #expect(second.code == .invalidArgument)
            #expect(second.detail.contains("started before"))
            #expect(try await call("memory://a") == "Hello, Ada")
            try await server.drain()
            let third = try await microError { try await server.start() }
            #expect(third.detail.contains("started before"))
        }
    }

    @Test func aServerThatNeverStartedDrains() async throws {
        try await withSimulation {
            let cut = try await makeServer("memory://a").drain()
            #expect(cut == 0)
        }
    }

    @Test(arguments: Place.allCases)
    func anAddressInUseIsNamedAndNothingStaysOpen(place: Place) async throws {
        try await place.run {
            let first = makeServer(place.address("taken"))
            try await first.start()
            let taken = try #require(first.addresses.first)
            // A port that was free may be anybody's the next moment; this path is nobody else's.
            let free =
                place == .tcp
                ? "unix:///tmp/micro-test-\(UInt64.random(in: 0 ... .max)).sock" : "memory://free"
            let second = makeServer(free, taken)
            let error = try await microError { try await second.start() }
            #expect(error.detail.contains(taken))
            #expect(error.detail.contains("in use"))
            #expect(second.addresses.isEmpty)
            // What had been opened is free again.
            let third = makeServer(free)
            try await third.start()
            #expect(try await call(free) == "Hello, Ada")
            try await third.drain()
            try await first.drain()
        }
    }

    @Test func allProblemsComeAtOnce() {
        var options = ServerOptions(addresses: ["carrier-pigeon://x", "memory://fine"])
        options.maxMessageBytes = 0
        options.maxCallsPerLoop = .max
        options.idleTimeout = .zero
        options.bodyTimeout = .seconds(100_000)
        let server = Server(name: "gree/ter", options: options)
        for name in ["Hello", "Hello", "", "a..b", "a/b/c", "spa ce", "A.B", "A/B"] {
            server.handle(name) { (_: Empty, context) in Empty() }
        }
        server.handle(Endpoint<Empty, Empty>("payment", "Charge")) { request, context in request }
        let problems = server.problems()
        for part in [
            "maxMessageBytes is 0", "maxCallsPerLoop is", "idleTimeout is", "bodyTimeout is",
            "name \"gree/ter\"", "\"Hello\" is handled twice", "\"\" has an empty part",
            "\"a..b\" has an empty part", "\"a/b/c\" has more than one",
            "\"spa ce\" may hold letters", "\"A/B\" and \"A.B\" both answer at /A/B",
            "\"Charge\" belongs to the service \"payment\"", "unknown scheme \"carrier-pigeon\"",
        ] {
            #expect(problems.contains { $0.contains(part) }, "\(part) in \(problems)")
        }
        #expect(problems.count == 13)
    }

    /// Which of two was recorded first must not matter.
    @Test(arguments: [
        ["A.B", "A/B"], ["A.B", "svc.A/B"], ["A.B", "svc/A.B"], ["svc/A.B", "svc/A.B"],
    ])
    func collidingPathsAreFoundInEveryOrder(names: [String]) {
        for order in [names, names.reversed()] {
            let server = Server(name: "svc")
            for name in order { server.handle(name) { (_: Empty, context) in Empty() } }
            #expect(server.problems().count == 1, "\(order): \(server.problems())")
        }
    }

    @Test func namesThatOnlyLookAlikeDoNotCollide() {
        let server = Server(name: "svc")
        for name in ["A.B", "a.b", "A.B.C", "B", "A_B", "other/A.B", "A.C"] {
            server.handle(name) { (_: Empty, context) in Empty() }
        }
        #expect(server.problems() == [])
    }

    @Test(arguments: Place.allCases)
    func anEndpointAnswersUnderAllItsNames(place: Place) async throws {
        try await place.run {
            let server = Server(
                name: "shop", options: .patient(at: place.address("shop")))
            server.handle("Orders.Get") { (id: String, context) in "order \(id)" }
            server.handle("acme.v1.Orders/Put") { (id: String, context) in "put \(id)" }
            try await server.start()
            let address = try #require(server.addresses.first)
            let client = makeClient(at: address)
            for (endpoint, reply) in [
                ("Orders.Get", "order 7"), ("shop.Orders/Get", "order 7"),
                ("Orders/Get", "order 7"), ("acme.v1.Orders/Put", "put 7"),
                ("shop/acme.v1.Orders/Put", "put 7"),
            ] {
                let answer: String = try await client.call(
                    "shop", endpoint, "7", options: CallOptions(address: address))
                #expect(answer == reply)
            }
            await client.close()
            try await server.drain()
        }
    }

    // MARK: Limits

    @Test func callsBeyondTheLimitAreRefused() async throws {
        try await withSimulation {
            var options = ServerOptions(addresses: ["memory://a"])
            options.maxCallsPerLoop = 1
            let server = Server(name: "greeter", options: options)
            server.handle("Slow") { (_: Empty, context) -> Empty in
                try await context.clock.sleep(for: .seconds(1))
                return Empty()
            }
            try await server.start()
            let client = makeClient(at: "memory://a")
            let first = Environment.current.spawn {
                do {
                    _ = try await client.call("greeter", "Slow", Empty(), as: Empty.self)
                } catch { Issue.record(error) }
            }
            try await Environment.current.clock.sleep(for: .milliseconds(1))
            let error = try await microError {
                _ = try await client.call(
                    "greeter", "Slow", Empty(), as: Empty.self, options: CallOptions(retry: .never))
            }
            #expect(error.code == .resourceExhausted)
            await first.wait()
            #expect(server.statistics.callsRefused == 1)
            await client.close()
            try await server.drain()
        }
    }

    // MARK: Draining

    @Test func drainWaitsForCallsAndEveryoneWhoDrains() async throws {
        try await withSimulation {
            let server = makeServer("memory://a")
            server.handle("Slow") { (name: String, context) -> String in
                try await context.clock.sleep(for: .seconds(2))
                return name
            }
            try await server.start()
            let journal = Journal<String>()
            let caller = Environment.current.spawn {
                do {
                    journal.write("\(try await call("memory://a", "Slow")) \(virtualMilliseconds)")
                } catch { journal.write("\(error)") }
            }
            try await Environment.current.clock.sleep(for: .milliseconds(100))
            let drains = (0..<2).map { _ in
                Environment.current.spawn {
                    do {
                        let cut = try await server.drain(grace: .seconds(10))
                        journal.write("drained \(cut) \(virtualMilliseconds)")
                    } catch { journal.write("\(error)") }
                }
            }
            try await Environment.current.clock.sleep(for: .milliseconds(100))
            // Nobody gets in any more; the numbers are still there.
            #expect(server.statistics.calls == 1)
            let late = try await microError { _ = try await call("memory://a") }
            #expect(late.code == .unavailable)
            #expect(!late.wasWritten)
            for drain in drains { await drain.wait() }
            await caller.wait()
            #expect(journal.entries.first == "Ada 2000")
            #expect(journal.entries.dropFirst().allSatisfy { $0.hasPrefix("drained 0 20") })
            #expect(journal.count == 3)
        }
    }

    @Test func whatIsLeftIsCutOff() async throws {
        try await withSimulation {
            let server = makeServer("memory://a")
            let journal = Journal<String>()
            server.handle("Slow") { (name: String, context) -> String in
                do { try await context.clock.sleep(for: .seconds(3600)) } catch {
                    journal.write("handler cancelled \(virtualMilliseconds)")
                    throw error
                }
                return name
            }
            try await server.start()
            let callers = (0..<3).map { _ in
                Environment.current.spawn {
                    do { _ = try await call("memory://a", "Slow") } catch {
                        let code = (error as? MicroError)?.code.name ?? "\(error)"
                        journal.write("caller \(code) \(virtualMilliseconds)")
                    }
                }
            }
            try await Environment.current.clock.sleep(for: .milliseconds(10))
            #expect(try await server.drain(grace: .seconds(1)) == 3)
            for caller in callers { await caller.wait() }
            #expect(journal.entries.filter { $0 == "handler cancelled 1010" }.count == 3)
            #expect(journal.entries.filter { $0 == "caller UNAVAILABLE 1010" }.count == 3)
        }
    }

    /// A handler that does not react to its cancellation holds nobody up for ever, and its late
    /// answer hurts nobody.
    @Test func whoIgnoresItsCancellationIsLeftBehind() async throws {
        try await withSimulation {
            let log = LogJournal()
            let server = Server(
                name: "greeter", options: ServerOptions(addresses: ["memory://a"]),
                logger: log.logger)
            let journal = Journal<Int>()
            server.handle("Stubborn") { (name: String, context) -> String in
                await Environment.current.spawn {
                    try? await Environment.current.clock.sleep(for: .seconds(60))
                    journal.write(virtualMilliseconds)
                }.wait()
                return name
            }
            try await server.start()
            let caller = Environment.current.spawn {
                _ = try? await call("memory://a", "Stubborn")
            }
            try await Environment.current.clock.sleep(for: .milliseconds(10))
            let cut = try await server.drain(grace: .seconds(1), patience: .seconds(2))
            #expect(cut == 1)
            #expect((3010...3020).contains(virtualMilliseconds))
            #expect(log.contains("warning", "handlers go on", "count=1"))
            #expect(journal.count == 0)
            await caller.wait()
            try await Environment.current.clock.sleep(for: .seconds(120))
            #expect(journal.entries == [60_000])
        }
    }

    @Test func drainingIsNotCutShortByTheCancellationOfTheTask() async throws {
        try await withSimulation {
            let server = makeServer("memory://a")
            server.handle("Slow") { (name: String, context) -> String in
                try await context.clock.sleep(for: .seconds(2))
                return name
            }
            try await server.start()
            let journal = Journal<String>()
            let caller = Environment.current.spawn {
                journal.write((try? await call("memory://a", "Slow")) ?? "failed")
            }
            try await Environment.current.clock.sleep(for: .milliseconds(10))
            let drain = Environment.current.spawn { _ = try? await server.drain() }
            drain.cancel()
            await drain.wait()
            await caller.wait()
            #expect(journal.entries == ["Ada"])
        }
    }

    /// The grace is the same on every loop, however long another one takes.
    @Test func allLoopsDrainAtOnce() async throws {
        let loops = try EventLoops(count: 3)
        let environment = Environment(loops: loops)
        let server = Server(
            name: "greeter", options: .patient(at: "tcp://127.0.0.1:0"),
            environment: environment)
        let begun = Tally()
        server.handle("Slow") { (_: Empty, context) -> Empty in
            begun.add()
            try await context.clock.sleep(for: .seconds(3600))
            return Empty()
        }
        try await server.start()
        let address = try #require(server.addresses.first)
        let clients = (0..<6).map { _ in makeClient(at: address) }
        let callers = clients.map { client in
            Task {
                _ = try? await client.call(
                    "greeter", "Slow", Empty(), as: Empty.self,
                    options: CallOptions(timeout: .seconds(3600)))
            }
        }
        try await eventually("all calls have begun") { begun.value == 6 }
        #expect(try await server.drain(grace: .milliseconds(50)) == 6)
        for caller in callers { await caller.value }
        for client in clients { await client.close() }
        loops.stop()
    }

    /// Servers come and go while clients call: every call ends, with an answer or as unavailable.
    @Test func callsWhileServersComeAndGo() async throws {
        for round in 0..<5 {
            let server = makeServer("tcp://127.0.0.1:0")
            try await server.start()
            let address = try #require(server.addresses.first)
            let (answered, failed) = (Tally(), Tally())
            let client = makeClient(at: address)
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        for _ in 0..<100 {
                            do {
                                let reply: String = try await client.call(
                                    "greeter", "Hello", "Ada", options: CallOptions(retry: .never))
                                #expect(reply == "Hello, Ada")
                                answered.add()
                            } catch {
                                #expect((error as? MicroError)?.code == .unavailable, "\(error)")
                                failed.add()
                            }
                        }
                    }
                }
                group.addTask {
                    while answered.value < 50 * (round + 1) { await Task.yield() }
                    do {
                        #expect(try await server.drain() == 0)
                    } catch { Issue.record(error) }
                }
            }
            #expect(answered.value + failed.value == 800)
            await client.close()
        }
    }

    // MARK: Hooks

    @Test func theFirstHookIsTheOutermost() async throws {
        try await withSimulation {
            let journal = Journal<String>()
            let server = makeServer("memory://a")
            server.handle("Async") { (name: String, context) async throws -> String in
                await Task.yield()
                journal.write("handler")
                return name
            }
            for name in ["a", "b"] {
                server.hook { context, next in
                    journal.write("\(name) in \(context.endpoint)")
                    try await next(context)
                    journal.write("\(name) out")
                }
            }
            try await server.start()
            #expect(try await call("memory://a") == "Hello, Ada")
            #expect(journal.entries == ["a in Hello", "b in Hello", "b out", "a out"])
            #expect(try await call("memory://a", "Async") == "Ada")
            #expect(
                journal.entries.dropFirst(4) == [
                    "a in Async", "b in Async", "handler", "b out", "a out",
                ])
            try await server.drain()
        }
    }

    @Test(arguments: Place.allCases)
    func hooksRefuseSwallowAndMeasure(place: Place) async throws {
        try await place.run {
            let calls = Tally()
            let server = Server(
                name: "greeter", options: .patient(at: place.address("a")))
            server.handle("Hello") { (name: String, context) -> String in
                calls.add()
                if name == "throw" { throw MicroError.notFound("hello", "nobody") }
                return name
            }
            server.hook { context, next in
                switch context.metadata["do"] {
                case "refuse": throw MicroError.unauthenticated("hook", "who are you?")
                case "nothing": break
                case "swallow": try? await next(context)
                case "twice":
                    try await next(context)
                    try await next(context)
                case "after":
                    try await next(context)
                    throw MicroError("hook", .aborted, "too late")
                default:
                    context.replyMetadata["seen"] = "yes"
                    try await next(context)
                }
            }
            try await server.start()
            let client = makeClient(at: try #require(server.addresses.first))
            func ask(_ what: String, _ name: String = "Ada") async throws -> Response<String> {
                try await client.response(
                    "greeter", "Hello", name, as: String.self,
                    options: CallOptions(metadata: ["do": what]))
            }
            #expect(try await ask("pass").metadata["seen"] == "yes")
            #expect(calls.value == 1)
            #expect(try await microError { _ = try await ask("refuse") }.code == .unauthenticated)
            #expect(calls.value == 1)
            let nothing = try await microError { _ = try await ask("nothing") }
            #expect(nothing.code == .internal)
            #expect(nothing.detail.contains("a hook ended the call"))
            #expect(calls.value == 1)
            #expect(
                try await microError { _ = try await ask("swallow", "throw") }.code == .internal)
            #expect(try await ask("swallow").reply == "Ada")
            #expect(try await ask("twice").reply == "Ada")
            #expect(calls.value == 5)
            #expect(try await microError { _ = try await ask("after") }.code == .aborted)
            #expect(try await microError { _ = try await ask("", "throw") }.code == .notFound)
            await client.close()
            try await server.drain()
        }
    }
}
