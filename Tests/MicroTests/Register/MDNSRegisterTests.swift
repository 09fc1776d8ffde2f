import MicroTesting
import Synchronization
import Testing

@testable import Micro

/// On the simulated network.
@Suite(.timeLimit(.minutes(2))) struct MDNSRegisterTests {
    private static let hour = Duration.seconds(3600)

    @Test(arguments: RegisterConformance.checks)
    func conforms(_ check: String) async throws {
        try await withSimulation(seed: 7) {
            try await RegisterConformance { MDNSRegister() }.run([check])
        }
    }

    /// Announced by one, found by another.
    @Test(arguments: RegisterConformance.readOnlyChecks)
    func conformsAcrossTheNetwork(_ check: String) async throws {
        try await withSimulation(seed: 7) {
            try await RegisterConformance(readOnly: {
                let speaker = MDNSRegister()
                let said = Mutex<[ServiceNode]>([])
                return ReadOnlyRegisterSource(register: MDNSRegister()) { nodes in
                    let before = said.withLock { said in
                        defer { said = nodes }
                        return said
                    }
                    for node in before where !nodes.contains(where: { $0.key == node.key }) {
                        try await speaker.deregister(node)
                    }
                    for node in nodes where !before.contains(node) {
                        try await speaker.register(node, ttl: Self.hour)
                    }
                }
            }).run([check])
        }
    }

    @Test func machinesFindEachOther() async throws {
        try await withSimulation {
            let (a, b) = machines()
            var events = b.watch("greeter").makeAsyncIterator()
            #expect(await events.next()?.change == .snapshot([]))
            var node = node("g-1")
            try await a.register(node, ttl: .seconds(90))
            #expect(await events.next()?.change == .added(node))
            #expect(try await b.lookup("greeter") == [node])
            node.state = .draining
            try await a.register(node, ttl: .seconds(90))
            #expect(await events.next()?.change == .updated(node))
            // Heartbeats are no news, and without them it goes.
            let clock = Environment.current.clock
            for _ in 0..<20 {
                try await clock.sleep(for: .seconds(30))
                try await a.register(node, ttl: .seconds(90))
            }
            #expect(try await b.lookup("greeter") == [node])
            let silent = clock.now
            #expect(await events.next()?.change == .removed(node))
            #expect(silent.duration(to: clock.now) < .seconds(92))
            #expect(try await a.lookup("greeter").isEmpty)
            await a.close()
            await b.close()
        }
    }

    @Test func theFirstKeepsAnID() async throws {
        try await withSimulation {
            let (a, b) = machines()
            let node = node("g-1")
            try await a.register(node, ttl: Self.hour)
            let error = await #expect(throws: MicroError.self) {
                try await b.register(node, ttl: Self.hour)
            }
            #expect(error?.code == .alreadyExists)
            // Another service or namespace is another node.
            var other = node
            other.namespace = "test"
            try await b.register(other, ttl: Self.hour)
            try await Environment.current.clock.sleep(for: .seconds(1))
            #expect(try await a.list(namespace: "*").map(\.namespace) == ["micro", "test"])
            // And who comes next may have it when it is given up.
            try await a.deregister(node)
            try await Environment.current.clock.sleep(for: .seconds(2))
            try await b.register(node, ttl: Self.hour)
            try await Environment.current.clock.sleep(for: .seconds(1))
            #expect(try await a.lookup("greeter") == [node])
            await a.close()
            await b.close()
        }
    }

    @Test func closingSaysGoodbye() async throws {
        try await withSimulation {
            let (a, b) = machines()
            try await a.register(node("g-1"), ttl: Self.hour)
            try await b.waitForService("greeter", timeout: .seconds(5))
            var events = b.watch("greeter").makeAsyncIterator()
            #expect(await events.next()?.change == .snapshot([node("g-1")]))
            await a.close()
            #expect(await events.next()?.change == .removed(node("g-1")))
            await b.close()
        }
    }

    @Test func onlyWhatOthersCanReachIsAnnounced() async throws {
        try await withSimulation {
            let (a, b) = machines()
            var node = node("g-1")
            node.addresses = [
                "tcp://127.0.0.1:1", "unix:///run/x", "tcp://8.8.8.8:1", "tcp://10.0.0.1:2",
            ]
            try await a.register(node, ttl: Self.hour)
            let found = try await b.waitForService("greeter", timeout: .seconds(5))
            #expect(found.map(\.addresses) == [["tcp://10.0.0.1:2"]])
            // Another process of the machine reaches it otherwise, too.
            let beside = MDNSRegister(simulatedAddress: "10.0.0.1")
            let near = try await beside.waitForService("greeter", timeout: .seconds(5))
            #expect(
                near.map(\.addresses) == [
                    ["tcp://127.0.0.1:1", "unix:///run/x", "tcp://10.0.0.1:2"]
                ])
            node.addresses = ["tcp://8.8.8.8:1"]
            let error = await #expect(throws: MicroError.self) {
                try await a.register(node, ttl: Self.hour)
            }
            #expect(error?.code == .invalidArgument)
            #expect(error?.metadata["field"] == "addresses")
            var options = MDNSRegister.Options()
            options.allowsPublicAddresses = true
            let open = MDNSRegister(options: options, simulatedAddress: "10.0.0.3")
            node.id = "g-2"
            try await open.register(node, ttl: Self.hour)
            try await Environment.current.clock.sleep(for: .seconds(2))
            #expect(try await b.lookup("greeter").map(\.id) == ["g-1"])
            for register in [a, b, beside, open] { await register.close() }
        }
    }

    @Test func withoutAnInterfaceItSaysWhy() async throws {
        try await withSimulation {
            var options = MDNSRegister.Options()
            options.interface = "eth7"
            let register = MDNSRegister(options: options)
            let error = await #expect(throws: MicroError.self) {
                try await register.lookup("greeter")
            }
            #expect(error?.code == .unavailable)
            #expect(
                error?.detail == "the mdns register on eth7: the interface eth7 is not up, or can't"
                    + " multicast")
            var events = register.watch("greeter").makeAsyncIterator()
            guard case .interrupted(let reason)? = await events.next()?.change else {
                Issue.record("no interruption")
                return
            }
            #expect(reason.code == .unavailable)
            await register.close()
        }
    }

    @Test func nothingIsLeftBehind() async throws {
        try await withSimulation {
            weak var dropped: MDNSRegister?
            do {
                let register = MDNSRegister()
                try await register.register(node("g-1"), ttl: Self.hour)
                dropped = register
                try await Environment.current.clock.sleep(for: .seconds(1))
            }
            #expect(dropped == nil)
        }
    }

    // MARK: Helpers

    private func machines() -> (MDNSRegister, MDNSRegister) {
        (MDNSRegister(simulatedAddress: "10.0.0.1"), MDNSRegister(simulatedAddress: "10.0.0.2"))
    }

    private func node(_ id: String) -> ServiceNode {
        ServiceNode(id: id, service: "greeter", version: "1", addresses: ["tcp://10.0.0.1:80"])
    }
}
