import Foundation
import Logging
import Micro
import MicroEtcd
import MicroTesting
import Synchronization
import Testing

extension EndToEnd {
    /// The register on a real etcd: the contract, and what happens when etcd is cut off, halted,
    /// killed, or loses what it knew.
    @Suite struct EtcdRegisterTests {
        private static let hour = Duration.seconds(3600)

        private func node(_ id: String, _ service: String = "apples") -> ServiceNode {
            ServiceNode(id: id, service: service, addresses: ["tcp://127.0.0.1:9"])
        }

        private func snapshot(
            _ events: RegisterEvents, sourceLocation: SourceLocation = #_sourceLocation
        ) async throws -> [ServiceNode] {
            let event = try await next(events)
            guard case .snapshot(let nodes) = event else {
                throw TestFailure("no snapshot but \(event)")
            }
            return nodes
        }

        /// The next event; one about an outage is passed over.
        private func next(_ events: RegisterEvents) async throws -> RegisterEvent.Change {
            let event = try await withTimeout(
                patience, on: Environment.current.clock, "test", "the next event"
            ) { () -> RegisterEvent.Change? in
                var iterator = events.makeAsyncIterator()
                while let event = await iterator.next() {
                    if case .interrupted = event.change { continue }
                    return event.change
                }
                return nil
            }
            guard let event else { throw TestFailure("the watch has ended") }
            return event
        }

        /// Waits until a watch has told of `node`, as a change or with a new snapshot, and of no
        /// removal.
        private func expect(_ node: ServiceNode, alone events: RegisterEvents) async throws {
            try await until("\(node.id) is seen as it is now") {
                switch try await next(events) {
                case .snapshot(let nodes): nodes == [node]
                case .added(let seen), .updated(let seen): seen == node
                case let other: throw TestFailure("unexpected: \(other)")
                }
            }
        }

        @Test func conforms() async throws {
            try await Etcd.run { etcd in
                let number = Mutex(0)
                let options = etcd.options
                try await RegisterConformance(shortTTL: .seconds(2), patience: patience) {
                    var options = options
                    options.keyPrefix = "/check-\(number.withLock { $0 += 1; return $0 })"
                    return EtcdRegister(options)
                }.run()
            }
        }

        @Test func aNodeBelongsToWhoRegisteredItLast() async throws {
            try await Etcd.run { etcd in
                let (here, there) = (EtcdRegister(etcd.options), EtcdRegister(etcd.options))
                let node = node("a")
                try await here.register(node, ttl: Self.hour)
                // Only its owner takes a node out, so a late goodbye cannot remove a successor.
                try await there.deregister(node)
                #expect(try await there.lookup("apples") == [node])
                try await there.register(node, ttl: Self.hour)
                // The former owner is told, and does not take it back.
                for _ in 0..<2 {
                    let error = await failure { try await here.register(node, ttl: Self.hour) }
                    #expect(error?.code == .alreadyExists)
                }
                try await there.register(node, ttl: Self.hour)
                try await here.deregister(node)
                #expect(try await here.lookup("apples") == [node])
                await there.close()
                #expect(try await here.lookup("apples") == [])
                await here.close()
            }
        }

        @Test func aLostLeaseIsGrantedAgain() async throws {
            try await Etcd.run { etcd in
                let (client, register) = (try await etcd.client(), EtcdRegister(etcd.options))
                let node = node("a")
                let events = register.watch("apples")
                #expect(try await snapshot(events) == [])
                try await register.register(node, ttl: Self.hour)
                #expect(try await next(events) == .added(node))

                let key = EtcdRegister.standardPrefix + "/micro/apples/a"
                let lease = try #require(try await client.get(key)?.lease)
                #expect(try await client.timeToLive(ofLease: lease)?.grantedSeconds == 3600)
                try await client.revokeLease(lease)
                #expect(try await next(events) == .removed(node))
                #expect(try await next(events) == .added(node))
                #expect(try await client.get(key)?.lease != lease)

                // A key that somebody deletes comes back, too, with the lease that it had.
                try await client.delete(.key(key))
                #expect(try await next(events) == .removed(node))
                #expect(try await next(events) == .added(node))

                try await register.deregister(node)
                #expect(try await next(events) == .removed(node))
                #expect(try await client.get(key) == nil)
                await register.close()
                await client.close()
            }
        }

        @Test func anEtcdThatIsRestartedWithItsDataIsFoundAgain() async throws {
            try await Etcd.run { etcd in
                let (here, there) = (EtcdRegister(etcd.options), EtcdRegister(etcd.options))
                let (a, b) = (node("a"), node("b"))
                try await here.register(a, ttl: Self.hour)
                let events = there.watch("apples")
                #expect(try await snapshot(events) == [a])

                try await etcd.kill()
                _ = try await until("the outage is told") {
                    var iterator = events.makeAsyncIterator()
                    if case .interrupted? = await iterator.next()?.change { return true }
                    return nil
                }
                let lost = await failure { _ = try await here.list() }
                #expect(lost?.code == .unavailable)
                try etcd.restart()
                #expect(try await snapshot(events) == [a])
                try await until("a node enters") {
                    await failure { try await here.register(b, ttl: Self.hour) } == nil
                }
                #expect(try await next(events) == .added(b))
                await here.close()
                #expect(
                    try await [next(events), next(events)].contains(.removed(a)))
                await there.close()
            }
        }

        @Test func anEtcdThatHasLostAllGetsItsNodesBackAtOnce() async throws {
            try await Etcd.run { etcd in
                let (here, there) = (EtcdRegister(etcd.options), EtcdRegister(etcd.options))
                let nodes = (0..<3).map { node("n\($0)") }
                for node in nodes { try await here.register(node, ttl: Self.hour) }
                let events = there.watch("apples")
                #expect(try await snapshot(events) == nodes)
                try await etcd.kill()
                try etcd.restart(isEmpty: true)
                // Nobody announces them: each sees for itself that it is missing.
                try await until("all are back") {
                    (try? await there.lookup("apples")) == nodes
                }
                // Whoever watches is not told that they were removed, for nobody saw that.
                var known: [String] = []
                while known != nodes.map(\.id) {
                    switch try await next(events) {
                    case .snapshot(let nodes): known = nodes.map(\.id)
                    case .added(let node): known = (known + [node.id]).sorted()
                    case let other: throw TestFailure("unexpected: \(other)")
                    }
                }
                await here.close()
                await there.close()
            }
        }

        @Test func aClusterThatLosesItsLeaderGoesOn() async throws {
            try await Etcd.run(members: 3) { members in
                var options = members[0].options
                options.endpoints = members.map(\.endpoint)
                let (here, there) = (EtcdRegister(options), EtcdRegister(options))
                let client = EtcdClient(options)
                var node = node("a")
                try await here.register(node, ttl: Self.hour)
                let events = there.watch("apples")
                #expect(try await snapshot(events) == [node])
                for round in 1...2 {
                    let leader = try await client.status().leader
                    for member in members {
                        let status = try? await client.status(of: member.endpoint)
                        guard status?.header.memberID == leader else { continue }
                        try await member.kill()
                        node.weight = UInt32(round)
                        let changed = node
                        try await until("the node is announced without the leader") {
                            await failure { try await here.register(changed, ttl: Self.hour) }
                                == nil
                        }
                        #expect(try await there.lookup("apples") == [changed])
                        try member.restart()
                        try await member.isUp(client, at: member.endpoint)
                        break
                    }
                    try await expect(node, alone: events)
                }
                await client.close()
                await here.close()
                await there.close()
            }
        }

        @Test func callsGoOnWhileEtcdIsAwayAndComesBackEmpty() async throws {
            try await Etcd.run { etcd in
                var kitchens: [MicroService] = []
                for n in 0..<3 {
                    var options = ServiceOptions()
                    options.register = EtcdRegister(etcd.options)
                    options.registerTTL = .seconds(6)
                    options.registerInterval = .seconds(2)
                    options.server.addresses = ["127.0.0.1:0"]
                    options.logger.logLevel = .error
                    let kitchen = MicroService(name: "kitchen", version: "1", options: options)
                    kitchen.handle("Kitchen.Who") { (_: Empty, _) in n }
                    try await kitchen.start()
                    kitchens.append(kitchen)
                }
                let register = EtcdRegister(etcd.options)
                _ = try await register.waitForService("kitchen", nodes: 3, timeout: patience)
                let client = Client(resolver: RegisterResolver(register: register))
                let answers = Mutex<[Int: Int]>([:])
                let calls = Task {
                    var failures: [String] = []
                    while !Task.isCancelled {
                        do {
                            let who: Int = try await client.call("kitchen", "Kitchen.Who", Empty())
                            answers.withLock { $0[who, default: 0] += 1 }
                        } catch {
                            if !Task.isCancelled { failures.append("\(error)") }
                        }
                        try? await Task.sleep(for: .milliseconds(2))
                    }
                    return failures
                }
                try await etcd.kill()
                // Longer than the nodes would live without a heartbeat.
                try await Task.sleep(for: .seconds(8))
                try etcd.restart(isEmpty: true)
                try await until("all nodes are back") {
                    ((try? await register.lookup("kitchen")) ?? []).count == 3
                }
                let before = answers.withLock { $0 }
                try await until("all nodes answer as before") {
                    let now = answers.withLock { $0 }
                    return (0..<3).allSatisfy {
                        now[$0, default: 0] >= before[$0, default: 0] + 30
                    }
                }
                calls.cancel()
                let failures = await calls.value
                #expect(failures.isEmpty, "\(failures.count): \(failures.prefix(3))")
                #expect(answers.withLock { $0.count } == 3)
                await client.close()
                await register.close()
                for kitchen in kitchens { try await kitchen.stop() }
            }
        }

        @Test func anEtcdThatHangsHoldsNobodyUp() async throws {
            try await Etcd.run { etcd in
                var options = etcd.options
                options.timeout = .milliseconds(500)
                let (here, there) = (EtcdRegister(options), EtcdRegister(options))
                let node = node("a")
                try await until("the node enters") {
                    await failure { try await here.register(node, ttl: Self.hour) } == nil
                }
                let events = there.watch("apples")
                #expect(try await snapshot(events) == [node])
                let resolver = RegisterResolver(register: there)
                #expect(try await resolver.resolve("apples").nodes.map(\.id) == ["a"])

                try await etcd.halt()
                let clock = ContinuousClock()
                let began = clock.now
                for _ in 0..<2 {
                    let error = await failure { _ = try await there.lookup("apples") }
                    #expect(error?.code == .deadlineExceeded || error?.code == .unavailable)
                    let late = await failure { try await here.register(node, ttl: Self.hour) }
                    #expect(late?.code == .deadlineExceeded || late?.code == .unavailable)
                    #expect(try await resolver.resolve("apples").nodes.map(\.id) == ["a"])
                }
                // Nor does it keep a process from ending.
                let other = EtcdRegister(options)
                _ = other.watch()
                let before = clock.now
                await other.close()
                #expect(clock.now - before < .seconds(10))
                // Several times as long as a call waits, and not so long that the connection is
                // found to be dead: what was open outlives it.
                try await clock.sleep(until: began.advanced(by: .seconds(5)))
                etcd.wake()

                try await until("the node is announced") {
                    await failure { try await here.register(node, ttl: Self.hour) } == nil
                }
                #expect(try await resolver.resolve("apples").nodes.map(\.id) == ["a"])
                var second = node
                second.weight = 7
                try await here.register(second, ttl: Self.hour)
                try await expect(second, alone: events)

                // Whoever ends while etcd hangs goes without its goodbye.
                try await etcd.halt()
                let leaving = clock.now
                let error = await failure { try await here.deregister(second) }
                #expect(error?.code == .deadlineExceeded || error?.code == .unavailable)
                await here.close()
                await there.close()
                #expect(clock.now - leaving < .seconds(20))
            }
        }

        @Test func whatIsNoNodeIsSkipped() async throws {
            try await Etcd.run { etcd in
                let (client, register) = (try await etcd.client(), EtcdRegister(etcd.options))
                let good = node("good")
                let events = register.watch(nil, namespace: "*")
                #expect(try await snapshot(events) == [])
                let prefix = EtcdRegister.standardPrefix
                let poison: [(String, [UInt8])] = [
                    ("/micro/apples/a", []), ("/micro/apples/b", Array("{".utf8)),
                    ("/micro/apples/c", [UInt8](repeating: 0, count: 1_400_000)),
                    ("/micro/apples/d", Array(#"{"weight":NaN}"#.utf8)), ("/junk", [1]), ("/", [1]),
                    (
                        "/micro/apples/e",
                        Array(
                            (#"{"id":"good","service":"apples","namespace":"micro","#
                                + #""addresses":["tcp://10.0.0.1:1"]}"#).utf8)
                    ),
                ]
                for (key, value) in poison { try await client.put(prefix + key, value) }
                try await register.register(good, ttl: Self.hour)
                #expect(try await next(events) == .added(good))
                #expect(register.skippedValues == poison.count)
                #expect(try await register.lookup("apples") == [good])
                #expect(try await register.list(namespace: "*").map(\.name) == ["apples"])
                // One that is spoilt is a node no more, and its owner is told.
                try await client.put(prefix + "/micro/apples/good", [])
                #expect(try await next(events) == .removed(good))
                #expect(
                    await failure { try await register.register(good, ttl: Self.hour) }?.code
                        == .alreadyExists)
                await register.close()
                await client.close()
            }
        }

        @Test func manyAndLargeNodesComeInParts() async throws {
            try await Etcd.run { etcd in
                let client = try await etcd.client()
                var options = etcd.options
                options.maxMessageBytes = 256 << 10
                let register = EtcdRegister(options)
                var all: [String] = []
                for part in 0..<11 {
                    let nodes = (0..<100).map { n -> ServiceNode in
                        var node = node("n\(part)-\(n)")
                        node.metadata = ["text": String(repeating: "x", count: 1000)]
                        return node
                    }
                    all += nodes.map(\.id)
                    _ = try await client.transaction(
                        if: [],
                        then: try nodes.map {
                            let json = [
                                "id": $0.id, "service": $0.service, "namespace": $0.namespace,
                            ]
                            let head = try JSONSerialization.data(withJSONObject: json)
                            let rest =
                                #","addresses":["tcp://h:1"],"metadata":{"text":""#
                                + $0.metadata["text", default: ""] + #""}}"#
                            return .put(
                                key: EtcdRegister.standardPrefix + "/micro/apples/\($0.id)",
                                value: head.dropLast() + Array(rest.utf8))
                        })
                }
                let events = register.watch("apples")
                #expect(try await snapshot(events).map(\.id).sorted() == all.sorted())
                #expect(try await register.lookup("apples").count == all.count)
                #expect(register.skippedValues == 0)
                await register.close()
                await client.close()
            }
        }

        @Test func microctlKnowsIt() async throws {
            try await Etcd.run { etcd in
                let register = EtcdRegister(try EtcdOptions(url: "etcd://\(etcd.endpoint)/shop"))
                try await register.register(node("a"), ttl: Self.hour)
                let result = try await Program.run(
                    Installation.microctl,
                    ["services", "--register", "etcd://\(etcd.endpoint)/shop"])
                #expect(result.exit == .code(0), "\(result.errors)")
                #expect(result.output.contains("apples"))
                #expect(result.output.contains("in etcd at \(etcd.endpoint)"))
                let other = try await Program.run(
                    Installation.microctl, ["services"],
                    environment: ["MICRO_REGISTER": "etcd://\(etcd.endpoint)"])
                #expect(other.output.contains("no service is in etcd at"))
                await register.close()
            }
        }
    }
}
