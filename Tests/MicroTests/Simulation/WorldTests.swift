import MicroTesting
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(5)))
struct WorldTests {
    // MARK: Services

    @Test func servicesFindEachOther() async throws {
        try await withSimulation(seed: 7) { world in
            let nodes = try await world.start(count: 3, makeGreeter)
            #expect(nodes.map(\.name) == ["greeter-1", "greeter-2", "greeter-3"])
            #expect(nodes.map(\.state) == [.running, .running, .running])
            #expect(nodes[0].service?.addresses.first?.hasPrefix("tcp://10.0.0.1:") == true)
            #expect(try await world.register.lookup("greeter").count == 3)
            let client = try world.client()
            #expect(try await client.hello() == "Hello, Ada")
            var seen: Set<String> = []
            for _ in 0..<30 { seen.insert(try await client.work()) }
            #expect(seen.count >= 2 && seen.isSubset(of: nodes.map(\.id)))
            #expect(world.elapsed < .seconds(1))
        }
    }

    @Test func aCallFromNodeToNode() async throws {
        try await withSimulation(seed: 7) { world in
            let greeter = try await world.start(makeGreeter)
            let front = try await world.start {
                let service = MicroService(name: "front", options: .quiet)
                service.handle("Front.Who") { (none: Int, context) -> String in
                    try await context.client.call(
                        "greeter", "Greeter.Work", Work(id: 1, milliseconds: 0))
                }
                return service
            }
            let id: String = try await world.client(on: front).call("front", "Front.Who", 0)
            #expect(id == greeter.id)
        }
    }

    @Test func addressesAreThoseOfTheMachine() async throws {
        try await withSimulation(seed: 7) { world in
            let node = try await world.start {
                makeGreeter(Executions()) { $0.server.addresses = ["tcp://0.0.0.0:8080"] }
            }
            // Another machine has the port, too.
            try await world.start {
                makeGreeter(Executions()) { $0.server.addresses = ["tcp://127.0.0.1:8080"] }
            }
            #expect(node.service?.addresses == ["tcp://10.0.0.1:8080"])
            let client = try world.client()
            for address in ["tcp://10.0.0.1:8080", "tcp://greeter-1:8080"] {
                let id = try await client.work(options: CallOptions(address: address))
                #expect(id == node.id)
            }
            let local = try world.client(on: node)
            let id = try await local.work(options: CallOptions(address: "tcp://127.0.0.1:8080"))
            #expect(id == node.id)
        }
    }

    @Test func waysTakeTheirTime() async throws {
        try await withSimulation(seed: 7) { world in
            world.latency = .milliseconds(10) ... .milliseconds(10)
            try await world.start(makeGreeter)
            let client = try world.client()
            _ = try await client.hello()
            let began = world.elapsed
            _ = try await client.hello()
            #expect(world.elapsed - began == .milliseconds(20))
        }
    }

    @Test func aServiceThatCannotStartSaysWhy() async throws {
        try await withSimulation(seed: 7) { world in
            let error = try await microError {
                try await world.start {
                    let service = makeGreeter(Executions())
                    service.beforeStart { throw MicroError.notFound("hook", "no luck") }
                    return service
                }
            }
            #expect(error.detail.contains("no luck"))
            guard case .failed = world.nodes[0].state else {
                Issue.record("it is \(world.nodes[0].state)")
                return
            }
        }
    }

    @Test func aServiceThatEndsByItselfIsStopped() async throws {
        try await withSimulation(seed: 7) { world in
            let node = try await world.start(makeGreeter)
            node.service?.triggerShutdown()
            try await world.run(for: .seconds(1))
            #expect(node.state == .stopped)
            #expect(try await world.register.lookup("greeter").isEmpty)
        }
    }

    // MARK: What services share

    @Test func theStoreIsShared() async throws {
        try await withSimulation(seed: 7) { world in
            let nodes = try await world.start(count: 2, makeGreeter)
            try await nodes[0].service?.store.write("Ada", at: "name")
            let name: String? = try await nodes[1].service?.store.read("name")
            #expect(name == "Ada")
            world.partition(nodes[1], from: .engines)
            let error = try await microError {
                let _: String? = try await nodes[1].service?.store.read("name")
            }
            #expect(error.code == .unavailable)
            world.heal()
            world.enginesOutage()
            let refused = try await microError {
                try await nodes[0].service?.store.write("Grace", at: "name")
            }
            #expect(refused.detail.contains("refused"))
        }
    }

    @Test func theLockOfADeadProcessIsFreeAfterItsTime() async throws {
        try await withSimulation(seed: 7) { world in
            let nodes = try await world.start(count: 2, makeGreeter)
            let (one, other) = (nodes[0].service, nodes[1].service)
            _ = try await one?.sync.acquire("job", ttl: .seconds(10), timeout: .zero)
            world.crash(nodes[0])
            let began = world.elapsed
            _ = try await other?.sync.acquire("job", ttl: .seconds(10), timeout: .seconds(60))
            #expect(world.elapsed - began > .seconds(9))
            #expect(world.elapsed - began < .seconds(11))
        }
    }

    private static func subscriber(_ seen: Journal<String>) -> MicroService {
        let service = MicroService(name: "billing", options: .quiet)
        let id = service.nodeID
        service.subscribe("orders.*", group: "billing") { (order: Int, context) in
            seen.write("\(id) began \(order)")
            try await Environment.current.clock.sleep(for: .seconds(1))
            seen.write("\(id) did \(order)")
        }
        return service
    }

    @Test func whatADeadSubscriberHadGoesToTheOthers() async throws {
        try await withSimulation(seed: 7) { world in
            let seen = Journal<String>()
            let nodes = try await world.start(count: 2) { Self.subscriber(seen) }
            for order in 0..<4 { try await world.broker.publish(order, to: "orders.created") }
            try await world.run(for: .milliseconds(500))
            #expect(seen.count > 0)
            world.crash(nodes[0])
            try await world.run(for: .seconds(60))
            let (dead, other) = (nodes[0].id, nodes[1].id)
            #expect(!seen.entries.contains { $0.hasPrefix("\(dead) did") })
            for order in 0..<4 { #expect(seen.entries.contains("\(other) did \(order)")) }
        }
    }

    // MARK: Processes

    @Test func aCrashIsNoticedAndTheOthersAnswer() async throws {
        try await withSimulation(seed: 7) { world in
            let nodes = try await world.start(count: 3, makeGreeter)
            let client = try world.client()
            for _ in 0..<9 { _ = try await client.work() }
            world.crash(nodes[1])
            #expect(nodes[1].state == .crashed)
            for _ in 0..<30 {
                let id = try await client.work(options: .idempotent())
                #expect(id != nodes[1].id)
            }
            #expect(try await world.register.lookup("greeter").count == 3)
            try await world.run(for: .seconds(91))
            #expect(try await world.register.lookup("greeter").count == 2)
            let former = nodes[1].id
            try await world.restart(nodes[1])
            #expect(nodes[1].id != former)
            #expect(try await world.register.lookup("greeter").count == 3)
        }
    }

    @Test func nothingOfADeadProcessRuns() async throws {
        try await withSimulation(seed: 7) { world in
            let steps = Journal<String>()
            let node = try await world.start {
                let service = MicroService(name: "worker", options: .quiet)
                service.handle("Worker.Work") { (none: Int, context) -> Int in
                    steps.write("handler")
                    defer { steps.write("handler's end") }
                    try await context.clock.sleep(for: .seconds(2))
                    steps.write("handler's work")
                    return 0
                }
                service.afterStart {
                    Environment.current.spawn {
                        while (try? await Environment.current.clock.sleep(for: .seconds(1))) != nil
                        {
                            steps.write("tick")
                        }
                    }
                }
                service.afterStop { steps.write("stopped") }
                return service
            }
            let client = try world.client()
            async let failure = microError {
                let _: Int = try await client.call("worker", "Worker.Work", 0)
            }
            try await world.run(for: .milliseconds(1500))
            #expect(steps.entries == ["handler", "tick"])
            world.crash(node)
            #expect(try await failure.code == .unavailable)
            try await world.run(for: .seconds(60))
            #expect(steps.entries == ["handler", "tick"])
        }
    }

    @Test func whoWaitsForADeadProcessIsTold() async throws {
        try await withSimulation(seed: 7) { world in
            let node = try await world.start(makeGreeter)
            async let failure = microError {
                try await world.run(on: node) {
                    try await Environment.current.clock.sleep(for: .seconds(60))
                }
            }
            try await world.run(for: .seconds(1))
            world.crash(node)
            #expect(try await failure.detail.contains("the process is dead"))
            let late = try await microError { try await world.run(on: node) {} }
            #expect(late.detail.contains("crashed"))
        }
    }

    @Test func aProcessThatDiesWhileItStarts() async throws {
        try await withSimulation(seed: 7) { world in
            async let failure = microError {
                try await world.start {
                    let service = makeGreeter()
                    service.beforeStart {
                        try await Environment.current.clock.sleep(for: .seconds(10))
                    }
                    return service
                }
            }
            try await world.run(for: .seconds(1))
            #expect(world.nodes[0].state == .starting)
            world.crash(world.nodes[0])
            #expect(try await failure.detail.contains("dead"))
            #expect(world.nodes[0].state == .crashed)
        }
    }

    @Test func aProcessStandsStill() async throws {
        try await withSimulation(seed: 7) { world in
            let executions = Executions()
            let node = try await world.start { makeGreeter(executions) }
            let client = try world.client()
            _ = try await client.work(1)
            world.stall(node, for: .seconds(3))
            #expect(node.isStalled)
            let began = world.elapsed
            async let reply = client.work(2)
            try await world.run(for: .seconds(2))
            #expect(executions.count(2) == 0)
            _ = try await reply
            #expect(world.elapsed - began >= .seconds(3))
            #expect(world.elapsed - began < .milliseconds(3100))
            #expect(!node.isStalled)
        }
    }

    @Test func aRestartIsInOrder() async throws {
        try await withSimulation(seed: 7) { world in
            let node = try await world.start(makeGreeter)
            let client = try world.client()
            async let reply = client.work(1, milliseconds: 2000)
            try await world.run(for: .milliseconds(500))
            let former = node.id
            try await world.restart(node)
            #expect(try await reply == former)
            try await world.run(for: .milliseconds(10))
            #expect(try await client.work(2) == node.id)
            #expect(node.id != former)
            #expect(node.address == "10.0.0.1")
        }
    }

    @Test func clocksOfPeopleDiffer() async throws {
        try await withSimulation(seed: 7) { world in
            let nodes = try await world.start(count: 2, makeGreeter)
            world.skewClock(of: nodes[0], by: .seconds(-30))
            #expect(nodes[1].wallClock - nodes[0].wallClock == .seconds(30))
            let local = try await world.run(on: nodes[0]) { Environment.current.wallClock }
            #expect(nodes[1].wallClock - local == .seconds(30))
        }
    }

    // MARK: The network

    @Test func aPartitionHoldsUpUntilItIsOver() async throws {
        try await withSimulation(seed: 7) { world in
            let node = try await world.start(makeGreeter)
            let client = try world.client()
            _ = try await client.hello()
            world.partition(node, for: .seconds(3))
            let began = world.elapsed
            #expect(try await client.hello() == "Hello, Ada")
            #expect(world.elapsed - began >= .seconds(3))
            #expect(world.elapsed - began < .seconds(4))
        }
    }

    @Test func aPartitionBetweenTwo() async throws {
        try await withSimulation(seed: 7) { world in
            let node = try await world.start(makeGreeter)
            let (one, other) = (try world.machine("one"), try world.machine("other"))
            let fault = world.partition(one, from: node)
            let (near, far) = (try world.client(on: one), try world.client(on: other))
            #expect(try await far.hello() == "Hello, Ada")
            let error = try await microError { _ = try await near.hello() }
            #expect(error.code == .deadlineExceeded || error.code == .unavailable)
            fault.end()
            fault.end()
            try await world.run(for: .seconds(1))
            #expect(try await near.hello() == "Hello, Ada")
        }
    }

    @Test(arguments: SimulatedDirection.allCases)
    func aPartitionInOneDirection(direction: SimulatedDirection) async throws {
        try await withSimulation(seed: 7) { world in
            let executions = Executions()
            let node = try await world.start { makeGreeter(executions) }
            let client = try world.client()
            _ = try await client.work(1)
            world.partition(node, direction)
            let error = try await microError {
                _ = try await client.work(2, options: CallOptions(timeout: .seconds(1)))
            }
            #expect(error.code == .deadlineExceeded)
            #expect(executions.count(2) == (direction == .outgoing ? 1 : 0))
        }
    }

    @Test func connectionsAreBroken() async throws {
        try await withSimulation(seed: 7) { world in
            let node = try await world.start(makeGreeter)
            let client = try world.client()
            async let failure = microError { _ = try await client.work(1, milliseconds: 2000) }
            try await world.run(for: .milliseconds(500))
            world.reset(node)
            #expect(try await failure.code == .unavailable)
            // A node that breaks connections before it has answered anything is left alone for a
            // moment, a tenth of a second at most.
            try await world.run(for: .milliseconds(100))
            #expect(try await client.hello() == "Hello, Ada")
        }
    }

    @Test func connectionsAreLost() async throws {
        try await withSimulation(seed: 7) { world in
            let node = try await world.start(makeGreeter)
            let client = try world.client()
            _ = try await client.hello()
            world.drop(node)
            let began = world.elapsed
            let late = try await microError { _ = try await client.hello() }
            #expect(late.code == .deadlineExceeded || late.code == .unavailable)
            #expect(world.elapsed - began <= .milliseconds(5050))
            #expect(try await world.client().hello() == "Hello, Ada")
        }
    }

    @Test func aSlowMachine() async throws {
        try await withSimulation(seed: 7) { world in
            let node = try await world.start(makeGreeter)
            let client = try world.client()
            _ = try await client.hello()
            world.delay(node, by: .milliseconds(100) ... .milliseconds(200), for: .seconds(10))
            for _ in 0..<10 {
                let began = world.elapsed
                _ = try await client.hello()
                #expect(world.elapsed - began >= .milliseconds(200))
                #expect(world.elapsed - began <= .milliseconds(405))
            }
            try await world.run(for: .seconds(10))
            let began = world.elapsed
            _ = try await client.hello()
            #expect(world.elapsed - began == .milliseconds(2))
        }
    }

    // MARK: The register

    @Test func theRegisterIsDown() async throws {
        try await withSimulation(seed: 7) { world in
            let node = try await world.start(makeGreeter)
            let client = try world.client()
            _ = try await client.hello()
            world.registerOutage(for: .seconds(120))
            try await world.run(for: .seconds(60))
            #expect(node.service?.readiness.isReady == false)
            #expect(try await client.hello() == "Hello, Ada")
            let error = try await microError { _ = try await world.client().hello() }
            #expect(error.code == .unavailable)
            try await world.run(for: .seconds(91))
            #expect(node.service?.readiness.isReady == true)
            #expect(try await world.client().hello() == "Hello, Ada")
        }
    }

    @Test func theRegisterLosesEverything() async throws {
        try await withSimulation(seed: 7) { world in
            let nodes = try await world.start(count: 3, makeGreeter)
            world.registerOutage(losingEverything: true, for: .seconds(60))
            #expect(try await world.register.lookup("greeter").isEmpty)
            try await world.run(for: .seconds(91))
            #expect(try await world.register.lookup("greeter").count == nodes.count)
        }
    }
}
