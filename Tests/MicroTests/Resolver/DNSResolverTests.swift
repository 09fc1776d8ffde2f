import MicroTesting
import Synchronization
import Testing

@testable import Micro

/// Against a real name server on loopback, which is all that the core's resolver needs.
@Suite(.timeLimit(.minutes(2))) struct DNSResolverTests {
    private func options(_ stub: DNSStub, port: UInt16? = nil) -> DNSOptions {
        var options = DNSOptions(
            name: port == nil ? "_grpc._tcp.{service}.test." : "{service}.test.", port: port)
        options.servers = [stub.address]
        options.timeout = .seconds(20)
        options.intervalMin = .milliseconds(20)
        return options
    }

    @Test func conforms() async throws {
        let stub = try DNSStub()
        defer { stub.close() }
        try await ResolverConformance { services in
            @Sendable func set(_ service: String, _ addresses: [String]) {
                stub.set("\(service).test", addresses.map(record))
            }
            set("cherries", [])
            for (service, addresses) in services { set(service, addresses) }
            return .init(
                resolver: try DNSResolver(options(stub, port: 4711)), change: set)
        }.run()
    }

    @Test func othersConform() async throws {
        try await withSimulation {
            try await ResolverConformance { services in
                .init(resolver: StaticResolver(addresses: services))
            }.run()
            try await ResolverConformance { services in
                let register = MemoryRegister()
                @Sendable func set(_ service: String, _ addresses: [String]) async throws {
                    for node in try await register.lookup(service)
                    where !addresses.contains(node.addresses[0]) {
                        try await register.deregister(node)
                    }
                    for address in addresses {
                        try await register.register(
                            ServiceNode(
                                id: "n" + address.filter(\.isNumber), service: service,
                                addresses: [address]), ttl: .seconds(3600))
                    }
                }
                for (service, addresses) in services { try await set(service, addresses) }
                return .init(resolver: RegisterResolver(register: register), change: set)
            }.run()
        }
    }

    @Test func servicesHavePortsWeightsAndPriorities() async throws {
        let stub = try DNSStub()
        defer { stub.close() }
        stub.set(
            "_grpc._tcp.shop.test",
            [
                .srv(priority: 5, weight: 1, port: 9, target: "gone.test"),
                .srv(priority: 10, weight: 0, port: 80, target: "B.test"),
                .srv(priority: 10, weight: 7, port: 81, target: "a.test"),
                .srv(priority: 20, weight: 7, port: 82, target: "a.test"),
            ])
        stub.set("a.test", [.a(10, 0, 0, 1), .aaaa([UInt8](repeating: 0, count: 15) + [1])])
        stub.set("b.test", [.a(10, 0, 0, 2)])
        let resolver = try DNSResolver(options(stub))
        let nodes = try await resolver.resolve("shop").nodes
        #expect(nodes.map(\.id) == ["a.test-81", "b.test-80"])
        #expect(nodes.map(\.weight) == [7, 1])
        #expect(
            nodes.map(\.addresses) == [
                ["tcp://[::1]:81", "tcp://10.0.0.1:81"], ["tcp://10.0.0.2:80"],
            ])
        await resolver.close()
        let error = await #expect(throws: MicroError.self) { try await resolver.resolve("shop") }
        #expect(error?.code == .unavailable)
    }

    @Test func theLastNodesStayWhileNoServerAnswers() async throws {
        let stub = try DNSStub()
        defer { stub.close() }
        stub.set("shop.test", [.a(10, 0, 0, 1)])
        let resolver = try DNSResolver(options(stub, port: 80))
        #expect(try await resolver.resolve("shop").nodes.map(\.address) == ["tcp://10.0.0.1:80"])
        stub.answersServerFailure = true
        let clock = Environment.current.clock
        var resolution = try await resolver.resolve("shop")
        while resolution.age == .zero {
            try await clock.sleep(for: .milliseconds(10))
            resolution = try await resolver.resolve("shop")
        }
        #expect(resolution.nodes.map(\.address) == ["tcp://10.0.0.1:80"])
        // Never known: the reason.
        let error = await #expect(throws: MicroError.self) { try await resolver.resolve("other") }
        #expect(error?.code == .unavailable)
        #expect(error?.detail.contains("SERVFAIL") == true)
        stub.answersServerFailure = false
        stub.set("shop.test", [.a(10, 0, 0, 2)])
        while resolution.nodes.map(\.address) != ["tcp://10.0.0.2:80"] {
            try await clock.sleep(for: .milliseconds(10))
            resolution = try await resolver.resolve("shop")
        }
        #expect(resolution.age == .zero)
        await resolver.close()
    }

    @Test func aCancelledQuestionEnds() async throws {
        let stub = try DNSStub()
        defer { stub.close() }
        stub.isSilent = true
        let resolver = try DNSResolver(options(stub, port: 80))
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = try? await resolver.resolve("shop") }
            while stub.questions == 0 { await Task.yield() }
            group.cancelAll()
        }
        await resolver.close()

        let nodes = DNSNodes(options(stub, port: 80), .current)
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await #expect(throws: CancellationError.self) {
                    _ = try await nodes.ask("shop", isFresh: false)
                }
            }
            let before = stub.questions
            while stub.questions == before { await Task.yield() }
            group.cancelAll()
        }
        nodes.close()
    }

    @Test func namesOfThisMachineNeedNoServer() async throws {
        var options = DNSOptions(name: "{service}", port: 80)
        options.servers = ["127.0.0.1:1"]
        let resolver = try DNSResolver(options)
        let resolution = try await resolver.resolve("localhost")
        #expect(resolution.nodes.map(\.address) == ["tcp://127.0.0.1:80"])
        #expect(try await resolver.resolve("10.1.2.3").nodes.map(\.id) == ["10.1.2.3-80"])
        let none = await #expect(throws: MicroError.self) {
            try await resolver.resolve("nowhere.invalid")
        }
        #expect(none?.code == .notFound)
        await resolver.close()
    }

    /// From the name of a service to an answer; and an address that is a name itself.
    @Test func aClientCallsWhatItFinds() async throws {
        let stub = try DNSStub()
        defer { stub.close() }
        let service = makeService(at: "tcp://127.0.0.1:0")
        service.handle(.hello) { request, _ in Greeting(message: "Hello, \(request.name)") }
        try await running(service) {
            let address = try #require(service.addresses.first)
            let port = try #require(address.split(separator: ":").last.flatMap { UInt16($0) })
            stub.set(
                "_grpc._tcp.greeter.test",
                [.srv(priority: 0, weight: 0, port: port, target: "localhost")])
            let found = Client(resolver: try DNSResolver(options(stub)), options: .patient)
            let named = makeClient(at: "tcp://localhost:\(port)")
            for client in [found, named] {
                let reply = try await client.call(.hello, Hello(name: "Ada"))
                #expect(reply.message == "Hello, Ada")
                await client.close()
            }
        }
    }

    @Test(
        arguments: [
            (0, 0, 100), (0, 5, 1), (5, 5, 5), (1000, 1000, 1000), (65535, 65535, 1000),
            (1, 65535, 1),
        ] as [(UInt16, UInt32, UInt32)])
    func weights(_ weight: UInt16, _ heaviest: UInt32, _ expected: UInt32) {
        #expect(DNSNodes.weight(weight, heaviest: heaviest) == expected)
    }
}

private func record(_ address: String) -> DNSStub.Record {
    let bytes = address.dropFirst(6).split(separator: ":")[0].split(separator: ".")
        .compactMap { UInt8($0) }
    return .a(bytes[0], bytes[1], bytes[2], bytes[3])
}
