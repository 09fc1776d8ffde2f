import Testing

@testable import Micro

/// How a service stays in its register.
@Suite(.timeLimit(.minutes(10)))
struct RegistrationTests {
    @Test func theNodeSaysWhatTheServiceIs() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let service = makeService(version: "1.2.3", in: register) {
                $0.weight = 7
                $0.zone = "a"
                $0.nodeMetadata = ["team": "x"]
            }
            service.handle(.hello) { request, context in Greeting(message: "") }
            try await running(service) {
                let node = try #require(try await register.lookup("greeter").first)
                #expect(node.id == service.nodeID)
                #expect(node.id.hasPrefix("greeter-"))
                #expect(node.version == "1.2.3")
                #expect(node.addresses == ["memory://greeter"])
                #expect(node.weight == 7)
                #expect(node.zone == "a")
                #expect(node.metadata["team"] == "x")
                #expect(node.metadata["pid"] == String(ProcessEnvironment.processID))
                #expect(node.codecs == ["json", "msgpack", "cbor", "bytes", "text"])
                #expect(
                    node.methods == [
                        EndpointDescription(
                            name: "Greeter.Hello", request: "Hello", reply: "Greeting")
                    ])
            }
        }
    }

    @Test func whatIsAdvertisedMayDiffer() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let service = makeService(in: register) {
                $0.advertisedAddresses = ["tcp://example.com:80"]
                $0.namespace = "other"
            }
            try await running(service) {
                let nodes = try await register.lookup("greeter", namespace: "other")
                #expect(nodes.first?.addresses == ["tcp://example.com:80"])
                #expect(try await register.lookup("greeter") == [])
            }
        }
    }

    @Test func anAddressForEverybodyIsMadeReachable() {
        let everywhere = AdvertisedAddress.reachable("tcp://0.0.0.0:80")
        #expect(everywhere.hasPrefix("tcp://") && everywhere.hasSuffix(":80"))
        #expect(!everywhere.contains("0.0.0.0"))
        #expect(AdvertisedAddress.reachable("tcp://[::]:80") == everywhere)
        for same in ["tcp://127.0.0.1:80", "unix:///run/x", "tcp://10.0.0.0:80"] {
            #expect(AdvertisedAddress.reachable(same) == same)
        }
    }

    @Test func theHeartbeatKeepsAShortLifeGoing() async throws {
        try await withSimulation {
            let register = ScriptedRegister()
            let service = makeService(in: register) {
                $0.registerTTL = .seconds(3)
                $0.registerInterval = .seconds(1)
            }
            try await service.start()
            for _ in 0..<120 {
                try await Environment.current.clock.sleep(for: .milliseconds(500))
                #expect(try await register.lookup("greeter").count == 1)
                #expect(service.readiness.isReady)
            }
            #expect((59...61).contains(register.journal.count))
            try await service.stop()
            #expect(try await register.lookup("greeter") == [])
            let requests = register.journal.count
            try await Environment.current.clock.sleep(for: .seconds(60))
            #expect(register.journal.count == requests)
        }
    }

    @Test func aServiceServesWithoutItsRegisterAndEntersItLater() async throws {
        try await withSimulation {
            let register = ScriptedRegister(.down)
            let log = LogJournal()
            let service = makeService(in: register, log: log)
            service.handle(.hello) { request, context in Greeting(message: request.name) }
            try await service.start()
            #expect(virtualMilliseconds == 0)
            #expect(!service.readiness.isReady)
            #expect(service.readiness.reason.contains("not in the register"))
            #expect(service.readiness.reason.contains("the register is down"))
            let reply = try await service.client.call(
                .hello, Hello(name: "Ada"), options: CallOptions(address: "memory://greeter"))
            #expect(reply.message == "Ada")
            // It tries again soon, then ever more rarely.
            try await Environment.current.clock.sleep(for: .seconds(1))
            #expect((3...40).contains(register.journal.count))
            try await Environment.current.clock.sleep(for: .seconds(600))
            let tries = register.journal.count
            #expect((20...150).contains(tries))
            register.become(.fine)
            try await Environment.current.clock.sleep(for: .seconds(31))
            #expect(service.readiness == (true, "ready"))
            #expect(try await register.lookup("greeter").count == 1)
            // Said once, however often it failed.
            #expect(log.lines.filter { $0.contains("not registered") }.count == 1)
            #expect(log.lines.filter { $0.contains("info: registered") }.count == 1)
            try await service.stop()
        }
    }

    @Test func aRegisterThatHangsDoesNotHoldUpTheStart() async throws {
        try await withSimulation {
            let register = ScriptedRegister(.hanging)
            let service = makeService(in: register) { $0.stepTimeout = .seconds(2) }
            try await service.start()
            #expect(virtualMilliseconds == 2000)
            #expect(service.readiness.reason.contains("took longer than 2.0 seconds"))
            register.become(.fine)
            try await Environment.current.clock.sleep(for: .seconds(5))
            #expect(service.readiness.isReady)
            try await service.stop()
        }
    }

    @Test func aRegisterThatGoesAwayAndComesBack() async throws {
        try await withSimulation {
            let register = ScriptedRegister()
            let service = makeService(in: register) {
                $0.registerTTL = .seconds(3)
                $0.registerInterval = .seconds(1)
            }
            try await service.start()
            for _ in 0..<5 {
                register.become(.down)
                try await Environment.current.clock.sleep(for: .seconds(10))
                #expect(!service.readiness.isReady)
                register.become(.fine)
                try await Environment.current.clock.sleep(for: .seconds(2))
                #expect(service.readiness.isReady)
                #expect(try await register.lookup("greeter").count == 1)
            }
            try await service.stop()
        }
    }

    /// It ends in the middle of a heartbeat that hangs: out it goes all the same.
    @Test func stopDuringAHeartbeat() async throws {
        try await withSimulation {
            let register = ScriptedRegister()
            let service = makeService(in: register) {
                $0.registerTTL = .seconds(30)
                $0.registerInterval = .seconds(1)
            }
            try await service.start()
            register.become(.hanging)
            try await Environment.current.clock.sleep(for: .seconds(2))
            register.become(.fine)
            try await service.stop()
            #expect(register.requests.last == "deregister")
            #expect(try await register.lookup("greeter") == [])
        }
    }

    // MARK: What callers see of it

    @Test func aNodeThatStopsIsNoLongerCalledAndNoCallFails() async throws {
        try await withSimulation(seed: 3) {
            let register = MemoryRegister()
            let services = (0..<3).map { number in
                let service = makeService(at: "memory://\(number)", in: register) {
                    $0.drainDelay = .milliseconds(300)
                }
                service.handle("Work") { (_: Empty, context) -> Int in
                    try await context.clock.sleep(for: .milliseconds(5))
                    return number
                }
                return service
            }
            let caller = makeService("caller", in: register)
            for service in services { try await service.start() }
            try await caller.start()
            let environment = Environment.current
            let answers = Journal<Int>()
            let callers = (0..<4).map { _ in
                environment.spawn {
                    for _ in 0..<500 {
                        do {
                            answers.write(
                                try await caller.client.call("greeter", "Work", Empty()))
                        } catch { Issue.record(error) }
                    }
                }
            }
            // A rolling restart: each of them goes, one after the other but the last.
            for service in services.dropLast() {
                try await environment.clock.sleep(for: .milliseconds(500))
                try await service.stop()
            }
            for task in callers { await task.wait() }
            #expect(answers.count == 2000)
            #expect(Set(answers.entries) == [0, 1, 2])
            #expect(Set(answers.entries.suffix(100)) == [2])
            try await caller.stop()
            try await services[2].stop()
        }
    }

    @Test func theSameSeedGivesTheSameRun() async throws {
        func trace() async throws -> [String] {
            try await withSimulation(seed: 11) {
                let register = MemoryRegister()
                let journal = Journal<String>()
                let services = (0..<3).map { number in
                    let service = makeService(at: "memory://\(number)", in: register)
                    service.handle("Work") { (pause: Int, context) -> Int in
                        try await context.clock.sleep(for: .milliseconds(pause))
                        return number
                    }
                    return service
                }
                try await running(services[0], services[1], services[2]) {
                    let environment = Environment.current
                    let callers = (0..<50).map { index in
                        environment.spawn {
                            var random = environment.randomness
                            for _ in 0..<10 {
                                let pause = Int.random(in: 0...20, using: &random)
                                let node =
                                    (try? await services[0].client.call(
                                        "greeter", "Work", pause, as: Int.self)) ?? -1
                                journal.write("\(virtualMilliseconds) \(index) \(node)")
                            }
                        }
                    }
                    for caller in callers { await caller.wait() }
                }
                return journal.entries + services.map(\.nodeID)
            }
        }
        let first = try await trace()
        #expect(first.count == 503)
        for _ in 0..<3 { #expect(try await trace() == first) }
    }
}
