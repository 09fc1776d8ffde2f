import MicroTesting
import Testing

@testable import Micro

/// A service as a program makes it: nothing in it knows of the simulation.
@Sendable func makeGreeter() -> MicroService {
    let service = MicroService(name: "greeter", version: "1.0.0")
    service.handle("Greeter.Hello") { (hello: Hello, context) in
        Greeting(message: "Hello, \(hello.name)")
    }
    let id = service.nodeID
    service.handle("Greeter.Who") { (milliseconds: Int, context) -> String in
        if milliseconds > 0 { try await context.clock.sleep(for: .milliseconds(milliseconds)) }
        return id
    }
    return service
}

@Suite(.timeLimit(.minutes(5)))
struct WorldTests {
    private static func hello(_ client: Client) async throws -> String {
        let reply: Greeting = try await client.call("greeter", "Greeter.Hello", Hello(name: "Ada"))
        return reply.message
    }

    private static func who(
        _ client: Client, _ milliseconds: Int = 0, options: CallOptions = CallOptions()
    ) async throws -> String {
        try await client.call("greeter", "Greeter.Who", milliseconds, options: options)
    }

    @Test func servicesFindEachOther() async throws {
        try await withSimulation(seed: 7) { world in
            let nodes = try await world.start(count: 3, makeGreeter)
            #expect(nodes.map(\.name) == ["greeter-1", "greeter-2", "greeter-3"])
            #expect(nodes.map(\.state) == [.running, .running, .running])
            #expect(nodes[0].service?.addresses.first?.hasPrefix("tcp://10.0.0.1:") == true)
            #expect(try await world.register.lookup("greeter").count == 3)
            let client = try world.client()
            #expect(try await Self.hello(client) == "Hello, Ada")
            var seen: Set<String> = []
            for _ in 0..<30 { seen.insert(try await Self.who(client)) }
            #expect(seen.count >= 2 && seen.isSubset(of: nodes.map(\.id)))
            #expect(world.elapsed < .seconds(1))
        }
    }

    @Test func aCallFromNodeToNode() async throws {
        try await withSimulation(seed: 7) { world in
            let greeter = try await world.start(makeGreeter)
            let front = try await world.start {
                let service = MicroService(name: "front")
                service.handle("Front.Who") { (none: Int, context) -> String in
                    try await context.client.call("greeter", "Greeter.Who", 0)
                }
                return service
            }
            let id: String = try await world.client(on: front).call("front", "Front.Who", 0)
            #expect(id == greeter.id)
        }
    }

    @Test func aPartitionHoldsUpUntilItIsOver() async throws {
        try await withSimulation(seed: 7) { world in
            let node = try await world.start(makeGreeter)
            let client = try world.client()
            _ = try await Self.hello(client)
            world.partition(node, for: .seconds(3))
            let began = world.elapsed
            #expect(try await Self.hello(client) == "Hello, Ada")
            #expect(world.elapsed - began >= .seconds(3))
            #expect(world.elapsed - began < .seconds(4))
        }
    }

    @Test func aCrashIsNoticedAndTheOthersAnswer() async throws {
        try await withSimulation(seed: 7) { world in
            let nodes = try await world.start(count: 3, makeGreeter)
            let client = try world.client()
            for _ in 0..<9 { _ = try await Self.who(client) }
            world.crash(nodes[1])
            #expect(nodes[1].state == .crashed)
            var options = CallOptions()
            options.retry = .idempotent(attempts: 3)
            for _ in 0..<30 {
                let id = try await Self.who(client, options: options)
                #expect(id != nodes[1].id)
            }
            #expect(try await world.register.lookup("greeter").count == 3)
            try await world.run(for: .seconds(91))
            #expect(try await world.register.lookup("greeter").count == 2)
            try await world.restart(nodes[1])
            #expect(try await world.register.lookup("greeter").count == 3)
        }
    }
}
