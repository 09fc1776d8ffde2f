import CMicroCore
import Testing

@testable import Micro

@Suite struct TransportsTests {
    @Test func addressesWithoutASchemeAreOfTheStandardTransport() throws {
        #expect(TransportAddress("10.0.0.1:80").description == "tcp://10.0.0.1:80")
        #expect(TransportAddress("shm://a").scheme == "shm")
        #expect(Transports().address("10.0.0.1:80").scheme == "tcp")
        let faulty = Transports([try TransportPlugin(faults: TransportFaults(), in: "memory")])
        #expect(faulty.address("a").scheme == "memory")
        #expect(faulty.address("tcp://a").scheme == "tcp")
    }

    @Test func schemesOfTLSLieOverOthers() {
        #expect(TransportScheme.encrypted("tcp") == "tls")
        #expect(TransportScheme.encrypted("shm") == "tls+shm")
        #expect(TransportScheme.below("tls") == "tcp")
        #expect(TransportScheme.below("tls+shm") == "shm")
        #expect(TransportScheme.below("shm") == nil)
        let transports = Transports()
        #expect(transports.carries("tls"))
        #expect(!transports.carries("tls+shm"))
        #expect(transports.canBeEncrypted("tcp"))
        #expect(!transports.canBeEncrypted("unix"))
    }

    @Test func unknownSchemesAreNamedWithTheKnownOnes() throws {
        let problem = Transports().problem(with: TransportAddress("shm://a"))
        #expect(problem == "shm://a: unknown scheme \"shm\", known: tcp, tls, unix, memory")
        let server = Server(name: "greeter", options: ServerOptions(addresses: ["shm://a"]))
        #expect(server.problems() == [try #require(problem)])
    }

    @Test func whatCannotBeLoadedIsNamed() async throws {
        let error = #expect(throws: MicroError.self) { try TransportPlugin(path: "/not/there.so") }
        #expect(error?.code == .notFound)
        #expect(error?.detail.contains("/not/there.so") == true)

        var options = ServerOptions(addresses: ["rdma://a"])
        options.transports = [
            TransportPlugin(url: "plugin:/not/there.so", variable: "THE_VARIABLE")
        ]
        // Not that its scheme is unknown, too.
        let problems = Server(name: "greeter", options: options).problems()
        #expect(problems.count == 1)
        #expect(problems.first?.hasPrefix("THE_VARIABLE: /not/there.so: ") == true, "\(problems)")
    }

    @Test(arguments: [
        ("ftp", TransportFaults(), "not in \"ftp\""),
        ("tcp", TransportFaults.with { $0.reset = 1.5 }, "reset"),
        ("tcp", TransportFaults.with { $0.end = -0.1 }, "end"),
        ("tcp", TransportFaults.with { $0.halfOpen = .nan }, "half_open"),
        ("tcp", TransportFaults.with { $0.readBytes = -1 }, "read_bytes"),
    ])
    func faultsThatCannotBeAreNamed(
        _ scheme: String, _ faults: TransportFaults, _ problem: String
    ) {
        let error = #expect(throws: MicroError.self) {
            try TransportPlugin(faults: faults, in: scheme)
        }
        #expect(error?.code == .invalidArgument)
        #expect(error?.detail.contains(problem) == true, "\(error?.detail ?? "")")
    }

    /// Calls over a network that cuts, delays and breaks: those that are answered are answered
    /// right, the others fail with an error, and with retries nearly all get through.
    @Test func servicesRunOverFaults() async throws {
        func run(seed: UInt64) async throws -> [String] {
            try await withSimulation(seed: seed) {
                var faults = TransportFaults()
                faults.seed = seed
                faults.readBytes = 40
                faults.writeBytes = 50
                faults.delay = .milliseconds(3)
                faults.refuse = 0.05
                faults.reset = 0.004
                faults.end = 0.002
                let plugin = try TransportPlugin(faults: faults, in: "memory")
                let register = MemoryRegister()
                var options = ServiceOptions()
                options.register = register
                options.transports = [plugin]
                options.server.addresses = ["greeter"]
                let service = MicroService(name: "greeter", options: options)
                service.handle("Greeter.Hello") { (request: Hello, _) in
                    Greeting(message: "Hello, \(request.name)")
                }
                try await service.start()
                #expect(service.addresses == ["memory://greeter"])
                let client = Client(
                    resolver: RegisterResolver(register: register),
                    options: .with { $0.transports = [plugin] })
                var outcomes: [String] = []
                for number in 0..<50 {
                    do {
                        let reply: Greeting = try await client.call(
                            "greeter", "Greeter.Hello", Hello(name: "\(number)"),
                            options: CallOptions(retry: .idempotent(attempts: 5)))
                        #expect(reply.message == "Hello, \(number)")
                        outcomes.append("answered")
                    } catch {
                        outcomes.append("\(MicroError(error, id: "").code)")
                    }
                }
                await client.close()
                try await service.stop()
                return outcomes
            }
        }
        var answered = 0
        for seed in 1...5 as ClosedRange<UInt64> {
            answered += try await run(seed: seed).filter { $0 == "answered" }.count
        }
        #expect(answered > 200)
        #expect(try await run(seed: 3) == run(seed: 3))
    }

    /// A table that is linked in, behind the guard, is a transport as any other.
    @Test func tablesOfTheProgramCanBeRegistered() async throws {
        let table = try #require(mcore_transport_memory())
        let plugin = try TransportPlugin(table: UnsafeRawPointer(table))
        #expect(plugin.name == "memory")
        #expect(!plugin.version.isEmpty)
        try await withSimulation(seed: 1) {
            var options = ServerOptions(addresses: ["greeter"])
            options.transports = [plugin]
            let server = Server(name: "greeter", options: options)
            server.handle("Greeter.Hello") { (request: Hello, _) in
                Greeting(message: "Hello, \(request.name)")
            }
            try await server.start()
            let client = Client(
                resolver: StaticResolver([:]), options: .with { $0.transports = [plugin] })
            let reply: Greeting = try await client.call(
                "greeter", "Greeter.Hello", Hello(name: "Ada"),
                options: CallOptions(address: "memory://greeter"))
            #expect(reply.message == "Hello, Ada")
            await client.close()
            try await server.drain()
        }
        var broken = mcore_transport_plugin()
        let error = #expect(throws: MicroError.self) {
            try withUnsafePointer(to: &broken) {
                try TransportPlugin(table: UnsafeRawPointer($0))
            }
        }
        #expect(error?.code == .failedPrecondition)
        #expect(error?.detail.contains("major version 0") == true, "\(error?.detail ?? "")")
    }

    /// A node that has several addresses is called at the first that can be.
    @Test func nodesAreReachedAtTheAddressThatIsKnown() async throws {
        try await withSimulation(seed: 1) {
            let register = MemoryRegister()
            var options = ServiceOptions()
            options.register = register
            options.server.addresses = ["memory://greeter"]
            options.advertisedAddresses = ["rdma://greeter", "memory://greeter"]
            let service = MicroService(name: "greeter", options: options)
            service.handle("Greeter.Hello") { (request: Hello, _) in
                Greeting(message: "Hello, \(request.name)")
            }
            try await service.start()
            let far = ServiceNode(
                id: "far", service: "greeter", version: "latest", addresses: ["rdma://far"])
            try await register.register(far, ttl: .seconds(60))
            let client = Client(resolver: RegisterResolver(register: register))
            for _ in 0..<10 {
                let reply: Greeting = try await client.call(
                    "greeter", "Greeter.Hello", Hello(name: "Ada"))
                #expect(reply.message == "Hello, Ada")
            }
            try await service.stop()
            let error = await expectError(.unavailable) {
                let _: Greeting = try await client.call(
                    "greeter", "Greeter.Hello", Hello(name: "Ada"))
            }
            #expect(error?.detail.contains("unknown scheme \"rdma\"") == true, "\(error as Any)")
            await client.close()
        }
    }
}

extension TransportFaults {
    fileprivate static func with(_ change: (inout TransportFaults) -> Void) -> TransportFaults {
        var faults = TransportFaults()
        change(&faults)
        return faults
    }
}

extension ClientOptions {
    fileprivate static func with(_ change: (inout ClientOptions) -> Void) -> ClientOptions {
        var options = ClientOptions()
        change(&options)
        return options
    }
}
