import MicroTesting
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(5)))
struct WithSimulationTests {
    private struct Refused: Error {}

    // MARK: Repetition

    private struct Trace: Sendable, Hashable {
        var fingerprint: UInt64
        var journal: [String]
        var answers: [String]
    }

    private static func trace(seed: UInt64) async throws -> Trace {
        try await withSimulation(seed: seed) { world in
            world.latency = .milliseconds(1) ... .milliseconds(9)
            try await world.start(count: 3, makeGreeter)
            let client = try world.client()
            let answers = Journal<String>()
            async let chaos: Void = world.chaos(for: .seconds(20))
            for call in 0..<60 {
                let node = try? await client.work(
                    call, milliseconds: 20, options: .idempotent(timeout: .seconds(1)))
                answers.write("\(world.elapsed) \(node ?? "none")")
                try await world.run(for: .milliseconds(200))
            }
            try await chaos
            return Trace(
                fingerprint: world.fingerprint, journal: world.journal, answers: answers.entries)
        }
    }

    @Test(arguments: [1, 2, 3])
    func theSameSeedGivesTheSameRun(seed: UInt64) async throws {
        let first = try await Self.trace(seed: seed)
        #expect(first.journal.count > 10)
        for _ in 0..<2 {
            let again = try await Self.trace(seed: seed)
            #expect(again.journal == first.journal)
            #expect(again.answers == first.answers)
            #expect(again.fingerprint == first.fingerprint)
        }
    }

    @Test func anotherSeedGivesAnotherRun() async throws {
        #expect(try await Self.trace(seed: 4).fingerprint != Self.trace(seed: 5).fingerprint)
    }

    @Test func worldsRunSideBySide() async throws {
        let expected = try await Self.trace(seed: 6)
        try await withThrowingTaskGroup(of: Trace.self) { group in
            for _ in 0..<4 { group.addTask { try await Self.trace(seed: 6) } }
            for try await trace in group { #expect(trace == expected) }
        }
    }

    @Test func manySeeds() async throws {
        let seeds = Journal<UInt64>()
        try await withSimulations(seeds: 3..<8) { seeds.write($0.seed) }
        #expect(seeds.entries == [3, 4, 5, 6, 7])
    }

    @Test func theVariableHoldsASeed() throws {
        #expect(try SimulationSeed.parse(nil) == nil)
        #expect(try SimulationSeed.parse("18446744073709551615") == .max)
        for text in ["", "x", "-1", "1.5", "18446744073709551616"] {
            let error = #expect(throws: MicroError.self) { try SimulationSeed.parse(text) }
            #expect(error?.detail.contains("MICRO_SIMULATION_SEED") == true)
        }
    }

    // MARK: Ends

    @Test func theErrorOfTheBodyComesOut() async throws {
        await #expect(throws: Refused.self) {
            try await withSimulation { world in
                try await world.start(count: 2, makeGreeter)
                throw Refused()
            }
        }
    }

    @Test func servicesThatRunAreStopped() async throws {
        let steps = Journal<String>()
        try await withSimulation { world in
            try await world.start {
                let service = makeGreeter()
                service.afterStop { steps.write("stopped") }
                return service
            }
        }
        #expect(steps.entries == ["stopped"])
    }

    @Test func whatWasKilledIsUnwoundAtTheEnd() async throws {
        let steps = Journal<String>()
        try await withSimulation { world in
            let node = try await world.start {
                let service = makeGreeter()
                service.handle("Greeter.Sleep") { (none: Int, context) -> Int in
                    defer { steps.write("handler") }
                    try await context.clock.sleep(for: .seconds(60))
                    steps.write("not this")
                    return 0
                }
                return service
            }
            let client = try world.client()
            async let reply: Int = client.call("greeter", "Greeter.Sleep", 0)
            try await world.run(for: .seconds(1))
            world.crash(node)
            _ = try? await reply
            #expect(steps.count == 0)
        }
        #expect(steps.entries == ["handler"])
    }

    /// What was killed, stands still or is cut off when the body ends must not keep it from ending.
    @Test func aWorldEndsInWhateverState() async throws {
        try await withSimulation { world in
            let nodes = try await world.start(count: 4, makeGreeter)
            let client = try world.client()
            _ = try await client.hello()
            world.crash(nodes[0])
            world.stall(nodes[1])
            world.partition(nodes[2])
            world.registerOutage()
        }
    }

    private final class Token: Sendable {}

    @Test func nothingOfAWorldStays() async throws {
        let held = try await withSimulation { world -> WeakReference<Token> in
            let token = Token()
            let reference = WeakReference<Token>()
            reference.object = token
            let nodes = try await world.start(count: 2) {
                let service = makeGreeter()
                service.handle("Greeter.Hold") { (none: Int, context) -> Int in
                    try await context.clock.sleep(for: .seconds(60))
                    withExtendedLifetime(token) {}
                    return 0
                }
                return service
            }
            let client = try world.client()
            async let reply: Int = client.call("greeter", "Greeter.Hold", 0)
            try await world.run(for: .seconds(1))
            for node in nodes { world.crash(node) }
            _ = try? await reply
            return reference
        }
        try await eventually("the services are gone") { held.object == nil }
    }

    // MARK: Stuck

    @Test func whoWaitsForEverIsNamed() async throws {
        let error = try await microError {
            try await withSimulation(seed: 77, limit: .seconds(600)) { world in
                let nodes = try await world.start(count: 2, makeGreeter)
                world.stall(nodes[1])
                try await world.run(on: nodes[1]) {}
            }
        }
        #expect(error.code == .deadlineExceeded)
        for part in [
            "stuck with seed 77", "after 600.0 seconds", "run(on: greeter-2)",
            "greeter-2 (10.0.0.2) is running, and stands still", "Registration.swift",
        ] {
            #expect(error.detail.contains(part), "\(part)\n\(error.detail)")
        }
    }

    @Test func aBodyThatLooksAllTheTimeIsFound() async throws {
        let error = try await microError {
            try await withSimulation(seed: 79) { world in
                while !Task.isCancelled { await Task.yield() }
            }
        }
        #expect(error.detail.contains("time stands still"))
    }

    @Test func aBodyThatWaitsForNothingIsFound() async throws {
        let error = try await microError {
            try await withSimulation(seed: 78) { world in
                let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
                for await _ in stream {}
                withExtendedLifetime(continuation) {}
            }
        }
        #expect(error.detail.contains("seed 78"))
        #expect(error.detail.contains("not the world's"))
    }
}
