import Testing

@testable import Micro

/// What is said about a call that is not made.
@Suite(.timeLimit(.minutes(5)))
struct ExplainTests {
    private static let nodes = [
        ResolvedNode(
            id: "a", addresses: ["memory://a"], zone: "eu", version: "1.0.0"),
        ResolvedNode(
            id: "b", addresses: ["memory://b"], zone: "us", version: "2.0.0"),
        ResolvedNode(
            id: "c", addresses: ["memory://c"], zone: "eu", state: .starting, version: "2.0.0"),
        ResolvedNode(
            id: "d", addresses: ["memory://d"], state: .draining, version: "1.0.0"),
        ResolvedNode(
            id: "e", addresses: ["quic://e:1"], zone: "eu", version: "1.0.0"),
    ]

    private func client(
        _ rules: [RouteRule] = [], nodes: [ResolvedNode] = nodes,
        _ configure: (inout ClientOptions) -> Void = { _ in }
    ) throws -> Client {
        var options = ClientOptions()
        configure(&options)
        return Client(
            resolver: StaticResolver(["greeter": nodes]), router: try RuleRouter(rules),
            options: options)
    }

    private func text(
        _ client: Client, _ options: CallOptions = CallOptions()
    ) async throws -> String {
        let explanation = try await client.explain("greeter", "Greeter.Hello", options: options)
        await client.close()
        return explanation.description
    }

    @Test func withoutRules() async throws {
        try await withSimulation {
            let text = try await text(try client())
            #expect(
                text == """
                    call      greeter Greeter.Hello
                    nodes     from fixed addresses

                    NODE  VERSION  ZONE  STATE     ADDRESS     CALLED  WHY
                    a     1.0.0    eu    ready     memory://a  yes     takes calls
                    b     2.0.0    us    ready     memory://b  yes     takes calls
                    c     2.0.0    eu    starting  memory://c  no      starts: takes no calls yet
                    d     1.0.0    -     draining  memory://d  no      drains, and others take calls
                    e     1.0.0    eu    ready     quic://e:1  no      quic://e:1: unknown scheme \
                    "quic", known: tcp, tls, unix, memory

                    pick      one of 2 by p2c
                    time      5 s, the client's default
                    retries   up to 3 attempts, only when the call was not processed; on another \
                    node at once, on the same after up to 25 ms, doubled each time; retries at \
                    most 20 % of the calls, or 10 a second
                    breaker   closed, no calls in the last 10 s
                    """)
        }
    }

    @Test func withARuleAndOptions() async throws {
        try await withSimulation {
            let rules = [
                RouteRule(
                    "canary", headers: ["x-user": "7"],
                    to: [NodeSubset(version: "3")],
                    fallback: [NodeSubset(version: "2", zone: "us")], otherwise: .any)
            ]
            let text = try await text(
                try client(rules) { $0.balancing.selector = .roundRobin },
                CallOptions(
                    timeout: .milliseconds(1250), attemptTimeout: .milliseconds(500),
                    retry: .idempotent(attempts: 2), metadata: ["x-user": "7"],
                    waitsForReady: true))
            #expect(
                text == """
                    call      greeter Greeter.Hello
                    nodes     from fixed addresses
                    rule      canary: version 3 (0 ready), then version 2, zone us (1 ready), \
                    then any node (3 ready, 1 draining, 1 starting), else fails

                    NODE  VERSION  ZONE  STATE     ADDRESS     CALLED  WHY
                    a     1.0.0    eu    ready     memory://a  no      rule canary leads to \
                    version 2, zone us
                    b     2.0.0    us    ready     memory://b  yes     takes calls
                    c     2.0.0    eu    starting  memory://c  no      starts: takes no calls yet
                    d     1.0.0    -     draining  memory://d  no      rule canary leads to \
                    version 2, zone us
                    e     1.0.0    eu    ready     quic://e:1  no      rule canary leads to \
                    version 2, zone us

                    pick      b, the only one
                    time      1.25 s, as the call says; 500 ms for one attempt
                    retries   up to 2 attempts, also when the call may have been processed; on \
                    another node at once, on the same after up to 25 ms, doubled each time; \
                    retries at most 20 % of the calls, or 10 a second; waits for a node that can \
                    be reached
                    breaker   closed, no calls in the last 10 s
                    """)
        }
    }

    @Test func whenNoNodeIsLeft() async throws {
        try await withSimulation {
            let rules = [RouteRule("canary", to: [NodeSubset(version: "3")])]
            let one = try client(rules, nodes: [Self.nodes[0]])
            let explanation = try await one.explain(
                "greeter", "Greeter.Hello", options: CallOptions(retry: .never))
            #expect(explanation.failure?.code == 14)
            #expect(
                explanation.description == """
                    call      greeter Greeter.Hello
                    nodes     from fixed addresses
                    rule      canary: version 3 (0 ready), else fails

                    NODE  VERSION  ZONE  STATE  ADDRESS     CALLED  WHY
                    a     1.0.0    eu    ready  memory://a  no      is in no subset of rule canary

                    time      5 s, the client's default
                    retries   none
                    breaker   closed, no calls in the last 10 s
                    fails     no node of the service greeter takes calls of the rule canary: \
                    version 3 has no node, of 1 in all
                    """)
            // What a call says.
            let error = try await microError {
                _ = try await one.call(.hello, Hello(name: "Ada"))
            }
            #expect(error.detail == explanation.failure?.detail)
            await one.close()
        }
    }

    @Test func anUnknownServiceAnAddressAndAVersion() async throws {
        try await withSimulation {
            let client = try client()
            let unknown = try await client.explain("shop", "Cart.Add")
            #expect(unknown.nodes.isEmpty)
            #expect(unknown.pick == nil)
            #expect(unknown.failure?.code == 5)
            #expect(unknown.failure?.detail.contains("there are greeter") == true)

            let there = try await client.explain(
                "greeter", "Greeter.Hello", options: CallOptions(address: "tcp://h:1"))
            #expect(there.source.name == "the call's options")
            #expect(there.pick?.node == "tcp://h:1")
            #expect(there.failure == nil)

            let versioned = try await client.explain(
                "greeter", "Greeter.Hello", options: CallOptions(version: "2.0.0"))
            #expect(versioned.nodes.map(\.verdict) == [.no, .candidate, .no, .no, .no])
            #expect(versioned.nodes[0].reason == "version 2.0.0 is asked for")
            let nowhere = try await client.explain(
                "greeter", "Greeter.Hello", options: CallOptions(version: "9"))
            #expect(nowhere.failure?.detail.contains("of version 9") == true)
            await #expect(throws: MicroError.self) {
                try await client.explain(
                    "greeter", "E", options: CallOptions(metadata: ["grpc-timeout": "1S"]))
            }
            await client.close()
        }
    }

    @Test func timesOfAnyLengthAreSaid() async throws {
        #expect([5, 1.25, 0.25, 0.0005].map(secondsText) == ["5 s", "1.25 s", "250 ms", "0.5 ms"])
        #expect(secondsText(1e300) == "1e+300 s")
        #expect(secondsText(.infinity) == "inf s")
        try await withSimulation {
            let text = try await text(
                try client(), CallOptions(attemptTimeout: .seconds(Int64.max)))
            #expect(text.contains("9.223372036854776e+18 s for one attempt"))
        }
    }

    @Test func nodesThatAreFurtherAwayAreAReserve() async throws {
        try await withSimulation {
            var (near, far) = (Self.nodes[0], Self.nodes[1])
            (near.rank, far.rank) = (1, 2)
            let client = try client(nodes: [near, far])
            let explanation = try await client.explain("greeter", "Greeter.Hello")
            #expect(explanation.nodes.map(\.verdict) == [.candidate, .reserve])
            #expect(explanation.pick?.node == "a")
            await client.close()
        }
    }

    /// What the loops know, and what the surrounding call leaves.
    @Test func theStateOfTheClient() async throws {
        try await withSimulation {
            let service = makeService(at: "memory://a")
            let outcome = Journal<CallExplanation>()
            let environment = Environment.current
            service.handle(.hello) { request, context in
                let node = ResolvedNode(id: "a", addresses: ["memory://a"])
                let gone = ResolvedNode(id: "gone", addresses: ["memory://gone"])
                let client = Client(
                    resolver: StaticResolver(["other": [node, gone]]), options: .patient,
                    environment: environment)
                for _ in 0..<20 {
                    _ = try? await client.call(
                        "other", "Other.Bye", Hello(name: "x"), as: Greeting.self)
                }
                outcome.write(try await client.explain("other", "Other.Bye"))
                await client.close()
                return Greeting(message: "")
            }
            try await running(service) {
                _ = try await service.client.call(
                    .hello, Hello(name: "Ada"), options: CallOptions(timeout: .seconds(2)))
            }
            let explanation = try #require(outcome.entries.first)
            let (a, gone) = (explanation.nodes[0], explanation.nodes[1])
            #expect(a.record?.loops == 1)
            #expect(a.record?.connected == 1)
            #expect(a.record?.successes == 20)
            #expect(a.verdict == .candidate)
            #expect(gone.record?.successes == 0)
            #expect(gone.verdict == .reserve)
            #expect(gone.reason == "can't be connected to")
            #expect(explanation.pick?.node == "a")
            #expect(explanation.time?.origin == "what is left of the surrounding call, less 2 ms")
            #expect(explanation.time?.total ?? 9 < 2)

            let bytes = try JSONCodec().encode(explanation)
            let back = try JSONCodec().decode(CallExplanation.self, from: bytes.span.bytes)
            #expect(back == explanation)
        }
    }

    @Test func howOldTheNodesAre() async throws {
        try await withSimulation {
            let base = FedRegister()
            let client = Client(resolver: RegisterResolver(register: base))
            async let first = client.explain("apples", "E")
            try await Environment.current.clock.sleep(for: .seconds(1))
            base.feed.replace(with: [testNode("a")])
            let fresh = try await first
            #expect(fresh.source == .init(name: "the scripted register", age: 0))
            base.feed.interrupt(MicroError("register", .unavailable, "it is down"))
            try await Environment.current.clock.sleep(for: .milliseconds(12_500))
            let stale = try await client.explain("apples", "E")
            #expect(stale.source.age == 12.5)
            #expect(
                stale.description.contains(
                    "nodes     from the scripted register, out of reach for 12.5 s\n"))
            await client.close()
        }
    }
}
