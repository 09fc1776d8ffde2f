import Testing

@testable import Micro

/// Rules on the way of a call, in a simulation.
@Suite(.timeLimit(.minutes(10)))
struct RoutingTests {
    private func greeter(_ version: String, in register: any Register) -> MicroService {
        let service = makeService(
            version: version, at: "memory://greeter-\(version)", in: register)
        service.handle(.hello) { request, context in Greeting(message: version) }
        service.stream("Greeter.Count") { (_: Hello, context, out: Outbound<Greeting>) in
            try await out.send(Greeting(message: version))
        }
        return service
    }

    /// Two versions of a service, and a client with rules.
    private func withVersions(
        _ body: @escaping @Sendable (Client, RuleRouter) async throws -> Void
    ) async throws {
        try await withSimulation(seed: 3) {
            let register = MemoryRegister()
            try await running(greeter("1", in: register), greeter("2", in: register)) {
                let router = try RuleRouter()
                let client = Client(
                    resolver: RegisterResolver(register: register), router: router,
                    options: .patient)
                try await body(client, router)
                await client.close()
            }
            await register.close()
        }
    }

    private func versions(
        _ client: Client, _ calls: Int = 40, _ metadata: Metadata = Metadata()
    ) async throws -> Set<String> {
        var versions: Set<String> = []
        for _ in 0..<calls {
            let reply = try await client.call(
                .hello, Hello(name: "Ada"), options: CallOptions(metadata: metadata))
            versions.insert(reply.message)
        }
        return versions
    }

    private static let toTwo = RouteRule("two", service: "greeter", to: [NodeSubset(version: "2")])

    @Test func rulesHoldFromTheNextCallOn() async throws {
        try await withVersions { client, router in
            #expect(try await versions(client) == ["1", "2"])
            try router.update([RoutingTests.toTwo])
            #expect(try await versions(client) == ["2"])
            try router.update([])
            #expect(try await versions(client) == ["1", "2"])
            try router.update([RouteRule("other", service: "shop", to: [NodeSubset(version: "9")])])
            #expect(try await versions(client) == ["1", "2"])
        }
    }

    @Test func theFirstCallOfAServiceFollowsThemToo() async throws {
        try await withVersions { client, router in
            try router.update([RoutingTests.toTwo])
            #expect(try await versions(client, 1) == ["2"])
        }
    }

    @Test func headersEndpointsAndShares() async throws {
        try await withVersions { client, router in
            try router.update([
                RouteRule(
                    "beta", endpoint: "Greeter.Hello", headers: ["x-tenant": "beta-*"],
                    to: [NodeSubset(version: "2")]),
                RouteRule("elsewhere", endpoint: "Greeter.Bye", to: [NodeSubset(version: "9")]),
                RouteRule(
                    "canary", headers: ["x-user": "*"], key: "x-user",
                    to: [NodeSubset(version: "2"), NodeSubset(version: "1")]),
            ])
            #expect(try await versions(client, ["x-tenant": "beta-7"]) == ["2"])
            #expect(try await versions(client) == ["1", "2"])
            var sides: Set<Set<String>> = []
            for user in 0..<20 {
                let side = try await versions(client, 5, ["x-user": "\(user)"])
                #expect(side.count == 1)
                sides.insert(side)
            }
            #expect(sides.count == 2)
            // The key may be said in another way, too: it is no header then.
            try router.update([
                RouteRule("split", to: [NodeSubset(version: "2"), NodeSubset(version: "1")])
            ])
            for user in 0..<20 {
                var side: Set<String> = []
                for _ in 0..<5 {
                    let reply = try await client.call(
                        .hello, Hello(name: "Ada"), options: CallOptions(hashKey: "\(user)"))
                    side.insert(reply.message)
                }
                #expect(side.count == 1)
            }
            #expect(try await versions(client) == ["1", "2"])
        }
    }

    private func versions(_ client: Client, _ metadata: Metadata) async throws -> Set<String> {
        try await versions(client, 40, metadata)
    }

    /// Two endpoints share a balancer: a rule for one must not be passed by through the other.
    @Test func aRuleOfOneEndpointDoesNotDependOnAnother() async throws {
        try await withVersions { client, router in
            #expect(try await bye(client) == 12)
            #expect(try await versions(client) == ["1", "2"])
            try router.update([RoutingTests.byeToNone])
            #expect(try await versions(client) == ["1", "2"])
            #expect(try await bye(client) == 14)
        }
    }

    /// Also when nobody has called the service for so long that it was forgotten meanwhile.
    @Test func aRuleThatCameWhileTheServiceWasForgottenHolds() async throws {
        try await withVersions { client, router in
            for _ in 0..<3 { #expect(try await bye(client) == 12) }
            try await Environment.current.clock.sleep(for: .seconds(600))
            #expect(client.directory.followed("greeter") == nil)
            try router.update([RoutingTests.byeToNone])
            #expect(try await versions(client) == ["1", "2"])
            #expect(try await bye(client) == 14)
        }
    }

    /// The gRPC status of a call to an endpoint that there is not.
    private func bye(_ client: Client) async throws -> Int {
        let error = try await microError {
            _ = try await client.call(
                "greeter", "Greeter.Bye", Hello(name: "Ada"), as: Greeting.self)
        }
        return Int(error.code.rpc)
    }

    private static let byeToNone = RouteRule(
        "gone", endpoint: "Greeter.Bye", to: [NodeSubset(version: "9")])

    @Test func aVersionThatTheCallAsksForHoldsBesideTheRule() async throws {
        try await withVersions { client, router in
            try router.update([
                RouteRule(
                    "one", to: [NodeSubset(version: "1")], fallback: [.all])
            ])
            let reply = try await client.call(
                .hello, Hello(name: "Ada"), options: CallOptions(version: "2"))
            #expect(reply.message == "2")
            #expect(try await versions(client) == ["1"])
        }
    }

    @Test func withoutANodeTheErrorSaysWhy() async throws {
        try await withVersions { client, router in
            try router.update([
                RouteRule(
                    "canary", to: [NodeSubset(version: "3")], fallback: [NodeSubset(zone: "moon")])
            ])
            let error = try await microError { _ = try await versions(client, 1) }
            #expect(error.code == .unavailable)
            #expect(!error.wasWritten)
            #expect(
                error.detail == "no node of the service greeter takes calls of the rule canary: "
                    + "version 3 has no node, zone moon has no node, of 2 in all")
        }
    }

    @Test func streamsFollowRules() async throws {
        try await withVersions { client, router in
            try router.update([RoutingTests.toTwo])
            for _ in 0..<10 {
                let replies = try await client.stream(
                    "greeter", "Greeter.Count", Hello(name: "Ada"), as: Greeting.self)
                for try await reply in replies { #expect(reply.message == "2") }
            }
        }
    }

    /// A call that waits is told of the nodes of its own subset.
    @Test func whoWaitsIsServedByTheRulesNodes() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let router = try RuleRouter([RoutingTests.toTwo])
            let client = Client(
                resolver: RegisterResolver(register: register), router: router, options: .patient)
            try await running(greeter("1", in: register)) {
                async let reply = client.call(
                    .hello, Hello(name: "Ada"),
                    options: CallOptions(timeout: .seconds(60), waitsForReady: true))
                try await Environment.current.clock.sleep(for: .seconds(1))
                let late = greeter("2", in: register)
                try await late.start()
                let message = try await reply.message
                #expect(message == "2")
                try await late.stop()
            }
            await client.close()
            await register.close()
        }
    }

    /// Rules change two hundred times under eight callers: no call fails.
    @Test func rulesAreChangedUnderTrafficWithoutAFailedCall() async throws {
        try await withVersions { client, router in
            let answers = Journal<String>()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for caller in 0..<8 {
                    group.addTask {
                        for _ in 0..<1000 {
                            let reply = try await client.call(
                                .hello, Hello(name: "Ada"),
                                options: CallOptions(metadata: ["x-user": "\(caller)"]))
                            answers.write(reply.message)
                            try await Environment.current.clock.sleep(for: .milliseconds(1))
                        }
                    }
                }
                group.addTask {
                    for round in 0..<200 {
                        try router.update(RoutingTests.rules(round))
                        try await Environment.current.clock.sleep(for: .milliseconds(5))
                    }
                }
                try await group.waitForAll()
            }
            #expect(answers.entries.count == 8000)
            #expect(Set(answers.entries) == ["1", "2"])
        }
    }

    private static func rules(_ round: Int) -> [RouteRule] {
        switch round % 4 {
        case 0: [toTwo]
        case 1:
            [
                RouteRule(
                    "split", percent: 50, key: "x-user",
                    to: [
                        NodeSubset(version: "2", weight: 1 + round),
                        NodeSubset(version: "1", weight: 100),
                    ])
            ]
        case 2: [RouteRule("missing", to: [NodeSubset(version: "9")], otherwise: .any)]
        default: []
        }
    }
}
