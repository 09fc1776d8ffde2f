import MicroTesting
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(2))) struct MemoryRegisterTests {
    @Test(arguments: RegisterConformance.checks)
    func conformsInASimulation(_ check: String) async throws {
        try await withSimulation(seed: 7) {
            try await RegisterConformance { MemoryRegister() }.run([check])
        }
    }

    @Test func conformsOnTheProcessesLoops() async throws {
        try await RegisterConformance { MemoryRegister() }.run()
    }

    /// The pruner sleeps until the next expiry: nodes go in the order and at the moment of theirs.
    @Test func nodesGoExactlyWhenTheirTimeIsUp() async throws {
        try await withSimulation {
            let clock = Environment.current.clock
            let register = MemoryRegister()
            let events = register.watch()
            let start = clock.now
            for (id, seconds) in [("c", 30), ("a", 10), ("b", 20)] {
                try await register.register(testNode(id), ttl: .seconds(seconds))
            }
            var gone: [String] = []
            for await event in events {
                guard case .removed(let node) = event.change else { continue }
                let seconds = start.duration(to: clock.now).components.seconds
                gone.append("\(node.id)@\(seconds)")
                if gone.count == 3 { break }
            }
            #expect(gone == ["a@10", "b@20", "c@30"])
            await register.close()
        }
    }

    /// Ten minutes of heartbeats every 30 s with a life of 90 s, then silence.
    @Test func heartbeatsKeepANodeAndSilenceLosesIt() async throws {
        try await withSimulation {
            let clock = Environment.current.clock
            let register = MemoryRegister()
            var events = register.watch().makeAsyncIterator()
            #expect(await events.next()?.change == .snapshot([]))
            for _ in 0..<20 {
                try await register.register(testNode("a"), ttl: .seconds(90))
                try await clock.sleep(for: .seconds(30))
            }
            #expect(try await register.lookup("apples").count == 1)
            try await clock.sleep(for: .seconds(59))
            #expect(try await register.lookup("apples").count == 1)
            try await clock.sleep(for: .seconds(1))
            #expect(try await register.lookup("apples").isEmpty)
            // Twenty heartbeats, two events.
            #expect(await events.next()?.change == .added(testNode("a")))
            #expect(await events.next()?.change == .removed(testNode("a")))
            await register.close()
        }
    }

    /// A simulation ends although the pruner would have slept for a day, and closing stops it.
    @Test func nothingIsLeftBehind() async throws {
        let elapsed = try await withSimulation { () -> Duration in
            let clock = Environment.current.clock
            let start = clock.now
            let register = MemoryRegister()
            try await register.register(testNode("a"), ttl: .seconds(86_400))
            await register.close()
            weak var dropped: MemoryRegister?
            do {
                let other = MemoryRegister()
                try await other.register(testNode("a"), ttl: .seconds(86_400))
                dropped = other
            }
            #expect(dropped == nil)
            try await clock.sleep(for: .seconds(1))
            return start.duration(to: clock.now)
        }
        #expect(elapsed < .seconds(2))
    }

    @Test func aNodeThatComesWhileThePrunerEndsIsForgottenToo() async throws {
        try await withSimulation {
            let clock = Environment.current.clock
            let register = MemoryRegister()
            for round in 0..<50 {
                try await register.register(testNode("n\(round)"), ttl: .milliseconds(10))
                try await clock.sleep(for: .milliseconds(round % 2 == 0 ? 10 : 11))
                #expect(try await register.list().isEmpty)
            }
            // Shorter lives wake it earlier.
            try await register.register(testNode("long"), ttl: .seconds(100))
            let events = register.watch()
            try await register.register(testNode("short"), ttl: .seconds(1))
            let start = clock.now
            for await event in events where event.change == .removed(testNode("short")) { break }
            #expect(start.duration(to: clock.now) == .seconds(1))
            await register.close()
        }
    }
}

func testNode(_ id: String, service: String = "apples", state: ServiceNode.State = .ready)
    -> ServiceNode
{
    ServiceNode(
        id: id, service: service, version: "1", addresses: ["tcp://127.0.0.1:4711"], state: state)
}
