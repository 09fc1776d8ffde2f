import MicroTesting
import Testing

@testable import Micro

/// What callers notice when things go wrong, at the rates and within the times that are promised.
@Suite(.timeLimit(.minutes(10)))
struct PolicySimulationTests {
    private static let seeds: [UInt64] = [1, 2, 3]

    @Test(arguments: seeds) func aRollingRestartIsNotNoticed(seed: UInt64) async throws {
        try await withSimulation(seed: seed) { world in
            let executions = Executions()
            let nodes = try await world.start(count: 3) { makeGreeter(executions) }
            let clients = [try world.client(), try world.client()]
            async let load = world.load(clients, perSecond: 500, for: .seconds(8)) { _ in
                CallOptions()  // Not idempotent: nothing may be tried again that was processed.
            }
            try await world.run(for: .seconds(1))
            for node in nodes {
                try await world.restart(node)
                try await world.run(for: .seconds(1))
            }
            let record = try await load
            #expect(record.calls.count == 4000)
            #expect(record.failed.isEmpty, "\(record.failed.prefix(3))")
            #expect(record.calls.allSatisfy { executions.count($0.id) == 1 })
            #expect(record.percentile(99) < .milliseconds(50))
        }
    }

    @Test(arguments: seeds) func aKilledNodeIsNotNoticedByIdempotentCalls(
        seed: UInt64
    ) async throws {
        try await withSimulation(seed: seed) { world in
            let executions = Executions()
            let nodes = try await world.start(count: 3) { makeGreeter(executions) }
            let client = try world.client()
            async let load = world.load([client], perSecond: 500, for: .seconds(6))
            try await world.run(for: .seconds(2))
            let killed = world.elapsed
            world.crash(nodes[1])
            let record = try await load
            #expect(record.failed.isEmpty, "\(record.failed.prefix(3))")
            let later = record.within(killed + .seconds(1)..<world.elapsed)
            #expect(later.percentile(99) < .milliseconds(50))
            #expect(record.within(killed..<world.elapsed).percentile(100) < .milliseconds(500))
        }
    }

    /// Packets are dropped, and nobody is told.
    @Test(arguments: seeds) func aBlackHoleIsLeftWithinTwoSeconds(seed: UInt64) async throws {
        try await withSimulation(seed: seed) { world in
            let executions = Executions()
            let nodes = try await world.start(count: 3) { makeGreeter(executions) }
            let client = try world.client()
            async let load = world.load([client], perSecond: 500, for: .seconds(10)) { _ in
                .idempotent(timeout: .seconds(1))
            }
            try await world.run(for: .seconds(2))
            let began = world.elapsed
            world.partition(nodes[0])
            let record = try await load
            let later = record.within(began + .seconds(2)..<world.elapsed)
            #expect(later.calls.count > 2000)
            #expect(later.failed.isEmpty, "\(later.failed.count): \(later.failed.prefix(1))")
            #expect(later.percentile(99) < .milliseconds(50))
            #expect(record.calls.allSatisfy { $0.took <= .milliseconds(1050) })
        }
    }

    /// The process is there, its kernel answers, and it does not.
    @Test(arguments: seeds) func aProcessThatStandsStillIsLeft(seed: UInt64) async throws {
        try await withSimulation(seed: seed) { world in
            let nodes = try await world.start(count: 3, makeGreeter)
            let client = try world.client()
            async let load = world.load([client], perSecond: 500, for: .seconds(10)) { _ in
                .idempotent(timeout: .seconds(1))
            }
            try await world.run(for: .seconds(2))
            let began = world.elapsed
            world.stall(nodes[2])
            let record = try await load
            let later = record.within(began + .seconds(2)..<world.elapsed)
            #expect(later.failed.isEmpty, "\(later.failed.count): \(later.failed.prefix(1))")
            #expect(later.percentile(99) < .milliseconds(50))
        }
    }

    @Test func aSlowNodeGetsFewerCalls() async throws {
        try await withSimulation(seed: 4) { world in
            let executions = Executions()
            let nodes = try await world.start(count: 3) { makeGreeter(executions) }
            let client = try world.client()
            _ = try await world.load([client], perSecond: 500, for: .seconds(2))
            world.delay(nodes[0], by: .milliseconds(100) ... .milliseconds(100))
            let before = executions.count(at: nodes[0].id)
            let record = try await world.load(
                [client], perSecond: 500, for: .seconds(10), firstID: 1_000_000)
            #expect(record.failed.isEmpty)
            let share = executions.count(at: nodes[0].id) - before
            #expect(share < record.calls.count / 10)
        }
    }

    // MARK: The register

    @Test func callersCutOffFromTheRegisterGoOn() async throws {
        try await withSimulation(seed: 5) { world in
            let nodes = try await world.start(count: 3, makeGreeter)
            let machine = try world.machine("shop")
            let client = try world.client(on: machine)
            _ = try await client.hello()
            world.partition(machine, from: .register)
            // The nodes, too, longer than their time to live.
            for node in nodes { world.partition(node, from: .register, for: .seconds(60)) }
            let record = try await world.load([client], perSecond: 20, for: .seconds(100))
            #expect(record.failed.isEmpty, "\(record.failed.prefix(3))")
        }
    }

    @Test func aRegisterThatIsKilledAndEmptyAfterwardsIsNotNoticed() async throws {
        try await withSimulation(seed: 6) { world in
            let nodes = try await world.start(count: 3, makeGreeter)
            let client = try world.client()
            _ = try await client.hello()
            async let load = world.load([client], perSecond: 50, for: .seconds(120))
            try await world.run(for: .seconds(10))
            world.registerOutage(losingEverything: true, for: .seconds(60))
            try await world.run(for: .seconds(60) + ServiceOptions().registerInterval)
            #expect(try await world.register.lookup("greeter").count == nodes.count)
            let record = try await load
            #expect(record.failed.isEmpty, "\(record.failed.prefix(3))")
        }
    }

    // MARK: Load on those that fail

    private func broken(_ executions: Executions) -> MicroService {
        let service = MicroService(name: "greeter", options: .quiet)
        let id = service.nodeID
        service.handle("Greeter.Work") { (work: Work, context) -> String in
            executions.note(work.id, at: id)
            throw MicroError("work", .unavailable, "everything is broken")
        }
        return service
    }

    @Test func aBackendThatFailsIsNotFloodedWithRetries() async throws {
        try await withSimulation(seed: 7) { world in
            let executions = Executions()
            try await world.start(count: 3) { broken(executions) }
            let client = try world.client()
            let record = try await world.load([client], perSecond: 500, for: .seconds(10))
            #expect(record.failed.count == record.calls.count)
            // A fifth more, and ten a second in any case, of which one second's can be saved up.
            let bound = record.calls.count + record.calls.count / 5 + 10 * 11
            #expect(executions.total <= bound)
        }
    }

    /// Tiers that all try again don't multiply.
    @Test func retriesOfTiersDoNotMultiply() async throws {
        try await withSimulation(seed: 8) { world in
            let executions = Executions()
            try await world.start { broken(executions) }
            for (tier, next) in [("second", "greeter"), ("first", "second")] {
                try await world.start {
                    let service = MicroService(name: tier, options: .withoutBreaker)
                    service.handle("Greeter.Work") { (work: Work, context) -> String in
                        try await context.client.call(
                            next, "Greeter.Work", work, options: .idempotent())
                    }
                    return service
                }
            }
            let client = try world.client(options: ServiceOptions.withoutBreaker.client)
            let record = try await world.load(
                [client], of: "first", perSecond: 500, for: .seconds(10))
            #expect(record.failed.count == record.calls.count)
            // Each of three tiers may do a fifth more, and ten a second in any case: not three
            // times as much each, as without a budget.
            #expect(executions.total >= record.calls.count)
            let most = 1.2 * 1.2 * 1.2 * (Double(record.calls.count) + 3 * 10 * 11)
            #expect(Double(executions.total) <= most)
        }
    }

    /// All of them lose their only node at once, and find the next one.
    @Test func clientsComeBackSpreadOverTime() async throws {
        try await withSimulation(seed: 9) { world in
            let node = try await world.start {
                makeGreeter(Executions()) { $0.server.addresses = ["tcp://0.0.0.0:80"] }
            }
            var options = ClientOptions()
            options.timeout = .seconds(60)
            let machine = try world.machine("clients")
            let clients = try (0..<500).map { _ in try world.client(on: machine, options: options) }
            for client in clients { _ = try await client.hello() }
            world.crash(node)
            try await world.run(for: .seconds(30))
            try await world.restart(node)
            let began = world.elapsed
            let arrivals = try await withThrowingTaskGroup(of: Duration.self) { group in
                for client in clients {
                    group.addTask {
                        var call = CallOptions()
                        call.waitsForReady = true
                        _ = try await client.work(options: call)
                        return world.elapsed - began
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(arrivals.count == 500)
            // Not a tenth of them in the same tenth of a second.
            let tenths = Dictionary(grouping: arrivals) { Int($0 / .milliseconds(100)) }
            #expect(tenths.values.allSatisfy { $0.count < 50 })
        }
    }

    // MARK: Deadlines

    @Test func whatIsLeftOfADeadlineTravels() async throws {
        try await withSimulation(seed: 10) { world in
            let seen = Journal<Duration>()
            try await world.start {
                let service = MicroService(name: "last", options: .quiet)
                service.handle("Last.Sleep") { (none: Int, context) -> Int in
                    let clock = context.clock
                    seen.write(context.deadline.map { clock.now.duration(to: $0) } ?? .seconds(99))
                    try await clock.sleep(for: .seconds(60))
                    seen.write(.seconds(77))
                    return 0
                }
                return service
            }
            try await world.start {
                let service = MicroService(name: "middle", options: .quiet)
                service.handle("Middle.Sleep") { (none: Int, context) -> Int in
                    try await context.clock.sleep(for: .milliseconds(50))
                    return try await context.client.call("last", "Last.Sleep", 0)
                }
                return service
            }
            let client = try world.client()
            let began = world.elapsed
            let error = try await microError {
                let _: Int = try await client.call(
                    "middle", "Middle.Sleep", 0, options: CallOptions(timeout: .milliseconds(100)))
            }
            #expect(error.code == .deadlineExceeded)
            #expect(world.elapsed - began <= .milliseconds(101))
            #expect(try #require(seen.entries.last) <= .milliseconds(50))
            try await world.run(for: .milliseconds(50))
            for node in world.nodes { #expect((node.service?.statistics.calls ?? 0) == 0) }
            try await world.run(for: .seconds(120))
            #expect(!seen.entries.contains(.seconds(77)))
        }
    }
}
