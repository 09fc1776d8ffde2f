import MicroTesting
import Testing

@testable import Micro

/// Whatever goes wrong, in whatever order: what is promised of every call holds.
@Suite(.timeLimit(.minutes(20)))
struct ChaosSimulationTests {
    /// Every second call is idempotent, and their deadlines differ.
    @Sendable private static func options(_ id: Int) -> CallOptions {
        let timeout = Duration.milliseconds(200 + (id * 37) % 1800)
        return id % 2 == 0 ? .idempotent(timeout: timeout) : CallOptions(timeout: timeout)
    }

    @Sendable private static func survive(_ world: SimulatedWorld) async throws {
        let executions = Executions()
        let nodes = try await world.start(count: 3) { makeGreeter(executions) }
        let clients = [try world.client(), try world.client()]
        async let chaos: Void = world.chaos(for: .seconds(20))
        let record = try await world.load(
            clients, perSecond: 50, for: .seconds(22), milliseconds: 1...60, options: options)
        try await chaos

        #expect(record.calls.count == 1100)
        for call in record.calls {
            let bound = (options(call.id).timeout ?? .zero) + .milliseconds(50)
            #expect(call.took <= bound, "\(call)")
            if call.id % 2 == 1 { #expect(executions.count(call.id) <= 1, "\(call)") }
            if call.error == nil { #expect(executions.count(call.id) >= 1, "\(call)") }
        }
        // It is over, and everybody answers again.
        try await world.run(for: .seconds(60))
        for client in clients { #expect(try await client.hello() == "Hello, Ada") }
        for node in nodes {
            #expect(node.state == .running)
            #expect(node.service?.statistics.calls == 0)
        }
        #expect(try await world.register.lookup("greeter").count >= 3)
        // Nothing is left.
        for client in clients { await client.close() }
        for node in nodes { try await world.stop(node) }
        try await world.run(for: .seconds(5))
        #expect(world.connections == 0)
    }

    @Test(arguments: 0..<10) func callsKeepTheirPromises(tenth: UInt64) async throws {
        try await withSimulations(seeds: tenth * 10..<tenth * 10 + 10, Self.survive)
    }
}
