import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(2))) struct RouteTableResolverTests {
    private func greeter(_ place: String, in register: MemoryRegister = MemoryRegister())
        -> MicroService
    {
        let service = makeService(at: "memory://\(place)", in: register)
        service.handle(.hello) { request, context in Greeting(message: place) }
        return service
    }

    private func places(_ client: Client, _ calls: Int = 20) async throws -> Set<String> {
        var places: Set<String> = []
        for _ in 0..<calls {
            places.insert(try await client.call(.hello, Hello(name: "Ada")).message)
        }
        return places
    }

    @Test func callsGoTheShortestWayAndAnotherOneWhenThatIsGone() async throws {
        try await withSimulation {
            let table = try RouteTable([
                Route("greeter", address: "memory://near", metric: 1),
                Route("greeter", address: "memory://far", metric: 5),
            ])
            let client = Client(resolver: RouteTableResolver(table), options: .patient)
            let near = greeter("near")
            try await running(greeter("far")) {
                try await near.start()
                #expect(try await places(client) == ["near"])
                try await near.stop()
                #expect(try await places(client) == ["far"])
            }
            await client.close()
        }
    }

    @Test func theOwnZoneIsPreferredAmongEquals() async throws {
        try await withSimulation {
            let table = try RouteTable([
                Route("greeter", address: "memory://eu", zone: "eu"),
                Route("greeter", address: "memory://us", zone: "us"),
            ])
            try await running(greeter("eu"), greeter("us")) {
                for zone in ["eu", "us"] {
                    let client = Client(
                        resolver: RouteTableResolver(table, query: .init(ownZone: zone)),
                        options: .patient)
                    let found = try await places(client)
                    #expect(found == [zone])
                    await client.close()
                }
            }
        }
    }

    /// Routes come and go under a client that calls; services without one are in the register.
    @Test func theTableIsFollowedAndTheRegisterIsBehindIt() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let table = try RouteTable()
            let resolver = RouteTableResolver(
                table, over: RegisterResolver(register: register))
            let client = Client(resolver: resolver, options: .patient)
            try await running(
                greeter("registered", in: register), greeter("routed"), greeter("gate")
            ) {
                #expect(try await places(client) == ["registered"])
                let route = Route("greeter", address: "memory://routed")
                try table.create(route)
                try await Environment.current.clock.sleep(for: .milliseconds(1))
                #expect(try await places(client) == ["routed"])
                try table.replace(with: [
                    Route("greeter", address: "memory://routed", gateway: "memory://gate")
                ])
                try await Environment.current.clock.sleep(for: .milliseconds(1))
                #expect(try await places(client) == ["gate"])
                try table.replace(with: [])
                try await Environment.current.clock.sleep(for: .milliseconds(1))
                #expect(try await places(client) == ["registered"])
            }
            await client.close()
            await register.close()
        }
    }

    @Test func aServiceWithoutARouteIsNotFound() async throws {
        try await withSimulation {
            let table = try RouteTable([Route("shop", address: "memory://a")])
            let resolver = RouteTableResolver(table)
            let error = try await microError { _ = try await resolver.resolve("greeter") }
            #expect(error.code == .notFound)
            #expect(error.detail.contains("there are shop"))
            var updates = resolver.updates(for: "greeter").makeAsyncIterator()
            let first = await updates.next()
            #expect(first?.nodes == [])
            await resolver.close()
            let end = await updates.next()
            #expect(end == nil)
            let closed = try await microError { _ = try await resolver.resolve("shop") }
            #expect(closed.code == .unavailable)
        }
    }
}
