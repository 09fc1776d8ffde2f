public import Micro

/// What every ``Register`` does, as checks that an implementation runs in its own tests.
///
/// ```swift
/// @Test func conforms() async throws {
///     try await withSimulation(seed: 1) {
///         try await RegisterConformance { MemoryRegister() }.run()
///     }
/// }
/// ```
/// Each check gets a register of its own, closed afterwards. Nothing depends on how fast the
/// machine is: what must happen is waited for, and what must not happen is ruled out by something
/// that happens after it.
public struct RegisterConformance: Sendable {
    private let make: @Sendable () async throws -> any Register
    private let environment: Environment
    private let shortTTL: Duration
    private let patience: Duration
    private let reduced: @Sendable (ServiceNode) -> ServiceNode
    private let isReadOnly: Bool

    /// A suite for one implementation.
    ///
    /// - Parameters:
    ///   - environment: The one that the registers run on: its clock is waited on.
    ///   - shortTTL: A time to live that a check can wait for.
    ///   - patience: How long to wait for an event before it counts as missing.
    ///   - make: Makes an empty register.
    public init(
        environment: Environment = .current, shortTTL: Duration = .milliseconds(300),
        patience: Duration = .seconds(30), make: @escaping @Sendable () async throws -> any Register
    ) {
        self.make = make
        self.environment = environment
        self.shortTTL = shortTTL
        self.patience = patience
        self.reduced = { $0 }
        self.isReadOnly = false
    }

    /// A suite for a register that is only read: what it finds is written somewhere else.
    ///
    /// Nodes are put there, and every check waits until a lookup has seen them. The checks that are
    /// about announcing are left out; those for which the source can't say enough, such as
    /// namespaces, have to be left out of ``run(_:)``.
    /// - Parameters:
    ///   - environment: The one that the registers run on: its clock is waited on.
    ///   - patience: How long to wait for an event, or a change, before it counts as missing.
    ///   - reduced: What of a node the source can say; the rest has to be as it comes back. By
    ///     default all of it.
    ///   - make: Makes a register that finds nothing, and what it reads.
    public init(
        environment: Environment = .current, patience: Duration = .seconds(30),
        reduced: @escaping @Sendable (ServiceNode) -> ServiceNode = { $0 },
        readOnly make: @escaping @Sendable () async throws -> ReadOnlyRegisterSource
    ) {
        self.make = {
            EditedRegister(try await make(), environment: environment, patience: patience)
        }
        self.environment = environment
        self.shortTTL = .milliseconds(300)
        self.patience = patience
        self.reduced = reduced
        self.isReadOnly = true
    }

    /// The checks that failed, and how.
    public typealias Failure = ConformanceFailure

    /// The names of the checks, in the order they are run.
    public static var checks: [String] { all.map(\.name) }

    /// The names of the checks of a register that is only read.
    public static var readOnlyChecks: [String] { all.filter(\.isForReadOnly).map(\.name) }

    /// Runs all checks that fit the register, or those named.
    ///
    /// - Throws: ``Failure`` with every check that failed; `CancellationError`.
    public func run(_ names: [String]? = nil) async throws {
        let checks = Self.all.filter { $0.isForReadOnly || !isReadOnly }
        try await runChecks(checks, only: names, name: { $0.name }) { check in
            let register = try await make()
            do {
                try await check.body(self)(register)
                await register.close()
            } catch {
                await register.close()
                throw error
            }
        }
    }

    private struct Check: Sendable {
        var name: String
        var isForReadOnly = true
        var body: @Sendable (RegisterConformance) -> (any Register) async throws -> Void
    }

    private static let all: [Check] = [
        Check(name: "everything about a node comes back") { $0.roundTrip },
        Check(name: "services are listed with their versions") { $0.listing },
        Check(name: "registering again replaces") { $0.replacement },
        Check(name: "a heartbeat is no event and extends the life", isForReadOnly: false) {
            $0.heartbeat
        },
        Check(name: "deregistering removes, and the empty service with it") { $0.deregistering },
        Check(name: "a node expires, not early, and watchers are told", isForReadOnly: false) {
            $0.expiry
        },
        Check(name: "a watch is a snapshot, then every change in order") { $0.watching },
        Check(name: "a watch of one service sees no other") { $0.watchFilter },
        Check(name: "namespaces do not see each other") { $0.isolation },
        Check(name: "the wildcard sees all namespaces") { $0.wildcard },
        Check(name: "a slow watcher misses nothing in the end", isForReadOnly: false) {
            $0.slowWatcher
        },
        Check(name: "a cancelled watch ends") { $0.cancelling },
        Check(name: "1,000 lookups at once") { $0.concurrency },
        Check(name: "names that are not valid are refused") { $0.nameValidation },
        Check(name: "nodes that are not valid are refused", isForReadOnly: false) {
            $0.validation
        },
        Check(name: "waiting for a service") { $0.waiting },
        Check(name: "closing ends watches and refuses calls") { $0.closing },
    ]

    // MARK: Questions and answers

    private func roundTrip(_ register: any Register) async throws {
        let whole = ServiceNode(
            id: "n-1", service: "greeter.v1", version: "1.2.3-rc.1+5",
            addresses: ["tcp://127.0.0.1:4711", "unix:///run/greeter", "tcp://[::1]:80"],
            weight: 1000, zone: "eu-1 \u{e4}", state: .draining,
            metadata: [
                "": "empty name", "k": "", "caf\u{e9}": "\u{1F600} '\"; DROP TABLE nodes; --",
            ],
            codecs: ["proto", "json"],
            methods: [
                EndpointDescription(
                    name: "Greeter.Hello", request: "HelloRequest", reply: "HelloReply",
                    metadata: ["schema": "{\"type\":\"object\"}", "stream": "false"]),
                EndpointDescription(name: "Greeter.Bye"),
                EndpointDescription(name: "Greeter.Hello", metadata: ["again": "1"]),
            ])
        let node = reduced(whole)
        try await expect([], register.lookup("greeter.v1"), "nodes before")
        try await register.register(node, ttl: .seconds(600))
        try await expect([node], register.lookup("greeter.v1"), "nodes")
        try await expect([], register.lookup("greeter"), "nodes of another name")
        try require(!register.name.isEmpty, "name is empty")
        try require(register.describe().contains(register.name), "describe() does not say which")
    }

    private func listing(_ register: any Register) async throws {
        try await expect([], register.list(), "services before")
        let nodes = [
            node("a1", "apples", version: "1"), node("a0", "apples", version: "2"),
            node("a2", "apples", version: "1"), node("b", "bananas"),
        ]
        for node in nodes.reversed() { try await register.register(node, ttl: .seconds(600)) }
        let expected = [
            ServiceRecord(
                namespace: "micro", name: "apples", nodes: [nodes[0], nodes[2], nodes[1]]),
            ServiceRecord(namespace: "micro", name: "bananas", nodes: [nodes[3]]),
        ]
        let services = try await register.list()
        try expect(expected, services, "services")
        try expect(["1", "2"], services.first?.versions, "versions")
        try await expect(expected[0].nodes, register.lookup("apples"), "order of nodes")
    }

    private func replacement(_ register: any Register) async throws {
        var node = node("a", "apples")
        try await register.register(node, ttl: .seconds(600))
        let events = register.watch("apples")
        _ = try await snapshot(events)
        node.addresses = ["tcp://10.0.0.9:1"]
        node.version = "2"
        node.metadata = ["new": "yes"]
        node = reduced(node)
        try await register.register(node, ttl: .seconds(600))
        try await expect([node], register.lookup("apples"), "nodes")
        try await expect(.updated(node), next(events).change, "event")
    }

    private func heartbeat(_ register: any Register) async throws {
        let apple = node("a", "apples")
        try await register.register(apple, ttl: shortTTL)
        let events = register.watch("apples")
        _ = try await snapshot(events)
        try await register.register(apple, ttl: .seconds(600))
        try await register.register(apple, ttl: .seconds(600))
        try await environment.clock.sleep(for: shortTTL * 2)
        try await expect([apple], register.lookup("apples"), "nodes after the first life")
        let pear = node("p", "apples")
        try await register.register(pear, ttl: .seconds(600))
        // On a slow machine the first life may have ended before the second began.
        var seen = try await next(events).change
        while seen == .removed(apple) || seen == .added(apple) {
            seen = try await next(events).change
        }
        try expect(.added(pear), seen, "the next event")
    }

    private func deregistering(_ register: any Register) async throws {
        let (a, b) = (node("a", "apples"), node("b", "apples"))
        try await register.register(a, ttl: .seconds(600))
        try await register.register(b, ttl: .seconds(600))
        let events = register.watch()
        _ = try await snapshot(events)
        try await register.deregister(a)
        try await expect([b], register.lookup("apples"), "nodes left")
        try await expect(.removed(a), next(events).change, "event")
        try await register.deregister(a)  // unknown by now
        try await register.deregister(node("never", "seen"))
        try await register.deregister(b)
        try await expect(.removed(b), next(events).change, "event")
        try await expect([], register.lookup("apples"), "nodes at the end")
        try await expect([], register.list(), "services at the end")
        try await register.register(a, ttl: .seconds(600))
        try await expect([a], register.lookup("apples"), "nodes after coming back")
    }

    private func expiry(_ register: any Register) async throws {
        let (short, long) = (node("short", "apples"), node("long", "apples"))
        let only = node("only", "bananas")
        let events = register.watch("apples")
        let others = register.watch("bananas")
        _ = try await snapshot(events)
        _ = try await snapshot(others)
        try await register.register(long, ttl: .seconds(600))
        try await expect(.added(long), next(events).change, "first event")
        try await register.register(short, ttl: .seconds(600))
        try await expect(.added(short), next(events).change, "second event")
        // The next heartbeat shortens its life: so its coming was seen, however slow the machine.
        let began = environment.clock.now
        try await register.register(short, ttl: shortTTL)
        try await register.register(only, ttl: shortTTL)
        try await expect(.added(only), next(others).change, "first event of the other service")
        try await expect(.removed(short), next(events).change, "third event")
        let age = began.duration(to: environment.clock.now)
        try require(age >= shortTTL, "a node with a ttl of \(shortTTL) was removed after \(age)")
        try await expect([long], register.lookup("apples"), "nodes left")
        try await expect(.removed(only), next(others).change, "event of the other service")
        try await expect(["apples"], register.list().map(\.name), "services left")
        try await register.register(short, ttl: .seconds(600))
        try await expect(.added(short), next(events).change, "event of coming back")
    }

    // MARK: Watching

    private func watching(_ register: any Register) async throws {
        var a = node("a", "apples")
        let b = node("b", "bananas")
        try await register.register(a, ttl: .seconds(600))
        let (first, second) = (register.watch(), register.watch())
        var revision = try await snapshot(first, expecting: [a]).revision
        _ = try await snapshot(second, expecting: [a])

        func step(_ change: RegisterEvent.Change) async throws {
            let event = try await next(first)
            try expect(change, event.change, "event")
            try require(
                event.revision > revision,
                "revision \(event.revision) follows \(revision): it must grow")
            revision = event.revision
            try await expect(change, next(second).change, "event of the second watch")
        }
        try await register.register(b, ttl: .seconds(600))
        try await step(.added(b))
        a.weight = 7
        a.state = .draining
        a = reduced(a)
        try await register.register(a, ttl: .seconds(600))
        try await step(.updated(a))
        try await register.deregister(b)
        try await step(.removed(b))
        try await register.register(b, ttl: .seconds(600))
        try await step(.added(b))
        _ = try await snapshot(register.watch(), expecting: [a, b])
    }

    private func watchFilter(_ register: any Register) async throws {
        let events = register.watch("apples")
        _ = try await snapshot(events, expecting: [])
        let pears = node("a", "pears")
        try await register.register(pears, ttl: .seconds(600))
        try await register.deregister(pears)
        let apple = node("a", "apples")
        try await register.register(apple, ttl: .seconds(600))
        try await expect(.added(apple), next(events).change, "event")
    }

    private func isolation(_ register: any Register) async throws {
        let (here, there) = (node("a", "apples"), node("a", "apples", namespace: "test"))
        let events = register.watch("apples")
        _ = try await snapshot(events, expecting: [])
        try await register.register(there, ttl: .seconds(600))
        try await expect([], register.lookup("apples"), "nodes")
        try await expect([], register.list(), "services")
        try await register.register(here, ttl: .seconds(600))
        try await expect(.added(here), next(events).change, "event")
        try await register.deregister(there)
        try await expect([here], register.lookup("apples"), "nodes after the other went")
        try await expect(
            [], register.lookup("apples", namespace: "test"), "nodes of the other")
        try await expect([], register.list(namespace: "none"), "services of no namespace")
    }

    private func wildcard(_ register: any Register) async throws {
        let all = RegisterNamespace.wildcard
        let (a, b) = (node("a", "apples"), node("a", "apples", namespace: "test"))
        let events = register.watch("apples", namespace: all)
        _ = try await snapshot(events, expecting: [])
        try await register.register(a, ttl: .seconds(600))
        try await expect(.added(a), next(events).change, "event of one namespace")
        try await register.register(b, ttl: .seconds(600))
        try await expect(.added(b), next(events).change, "event of the other namespace")
        try await expect([a, b], register.lookup("apples", namespace: all), "nodes")
        try await expect(
            ["micro", "test"], register.list(namespace: all).map(\.namespace), "namespaces")
        try await refused("a node in the wildcard namespace") {
            try await register.register(node("c", "apples", namespace: all), ttl: .seconds(600))
        }
    }

    private func slowWatcher(_ register: any Register) async throws {
        let events = register.watch("apples")
        _ = try await snapshot(events, expecting: [])
        var known: [String: ServiceNode] = [:]
        for round in 0..<1_500 {
            var node = node("n\(round % 20)", "apples")
            node.metadata = ["round": "\(round)"]
            try await register.register(node, ttl: .seconds(600))
        }
        let last = node("last", "apples")
        try await register.register(last, ttl: .seconds(600))
        var revision: UInt64 = 0
        while known["last"] == nil {
            let event = try await next(events)
            try require(event.revision > revision, "revisions do not grow")
            revision = event.revision
            switch event.change {
            case .snapshot(let nodes):
                known = Dictionary(nodes.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
            case .added(let node), .updated(let node): known[node.id] = node
            case .removed(let node): known[node.id] = nil
            case .interrupted: break
            }
        }
        let nodes = try await register.lookup("apples")
        try expect(
            nodes, known.values.sorted { $0.id < $1.id }, "what the watcher knows at the end")
        try expect(21, nodes.count, "nodes")
    }

    private func cancelling(_ register: any Register) async throws {
        let first = register.watch()
        _ = try await snapshot(first)
        first.cancel()
        first.cancel()
        try await ended(first)

        let second = register.watch()
        _ = try await snapshot(second)
        let isEnded = await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                for await _ in second {}
                return true
            }
            group.cancelAll()
            return await group.next() ?? false
        }
        try require(isEnded, "a watch whose task was cancelled goes on")
        try await ended(second)
        _ = try await snapshot(register.watch())  // others are not touched
    }

    // MARK: The rest

    private func concurrency(_ register: any Register) async throws {
        let nodes = (0..<10).map { node("n\($0)", "apples") }
        for node in nodes { try await register.register(node, ttl: .seconds(600)) }
        let right = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<1_000 {
                group.addTask { try await register.lookup("apples") == nodes }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        try expect(1_000, right, "right answers")
    }

    /// 256 characters in the last one.
    private static let wrongNames = [
        "", "a b", "a/b", "\u{e4}", "a\u{0}", "*", String(repeating: "x", count: 256),
    ]

    private func nameValidation(_ register: any Register) async throws {
        for name in Self.wrongNames {
            try await refused("a lookup of \(name.debugDescription)") {
                _ = try await register.lookup(name)
            }
            if name != RegisterNamespace.wildcard {
                try await refused("a list of \(name.debugDescription)") {
                    _ = try await register.list(namespace: name)
                }
            }
        }
    }

    private func validation(_ register: any Register) async throws {
        let good = node("a", "apples")
        func bad(_ what: String, _ change: (inout ServiceNode) -> Void) async throws {
            var node = good
            change(&node)
            let wrong = node
            try await refused(what) { try await register.register(wrong, ttl: .seconds(600)) }
        }
        for name in Self.wrongNames {
            try await bad("the service \(name.debugDescription)") { $0.service = name }
            try await bad("the id \(name.debugDescription)") { $0.id = name }
            try await bad("the namespace \(name.debugDescription)") { $0.namespace = name }
        }
        try await bad("a node without an address") { $0.addresses = [] }
        for address in [
            "", "127.0.0.1:1", "tcp://", "tcp://:80", "tcp://h", "tcp://h:0", "tcp://h:65536",
            "tcp://0.0.0.0:80", "tcp://[::]:80", "tcp://a b:80", "1x://y", "://x",
        ] {
            try await bad("the address \(address.debugDescription)") { $0.addresses = [address] }
        }
        try await bad("the weight 0") { $0.weight = 0 }
        try await bad("the weight 1,001") { $0.weight = 1001 }
        try await bad("2 MiB of metadata") {
            $0.metadata = ["x": String(repeating: "x", count: 1 << 21)]
        }
        for ttl in [Duration.zero, .seconds(-1)] {
            try await refused("a ttl of \(ttl)") { try await register.register(good, ttl: ttl) }
        }
        try await expect([], register.list(namespace: RegisterNamespace.wildcard), "services")
        try await register.register(good, ttl: .nanoseconds(Int64.max))
        try await expect([good], register.lookup("apples"), "nodes with a very long life")
    }

    private func waiting(_ register: any Register) async throws {
        var starting = node("s", "apples")
        starting.state = .starting
        if reduced(starting) == starting {
            try await register.register(starting, ttl: .seconds(600))
        }
        do {
            try await register.waitForService(
                "apples", timeout: shortTTL, environment: environment)
            throw Wrong("a service without ready nodes was not waited for")
        } catch let error as MicroError where error.code == .deadlineExceeded {
            try require(
                error.detail.contains("0 of 1"), "the error does not say how many: \(error)")
        }
        let (a, b) = (node("a", "apples"), node("b", "apples"))
        let patience = patience
        let environment = environment
        try await withThrowingTaskGroup(of: [ServiceNode].self) { group in
            group.addTask {
                try await register.waitForService(
                    "apples", nodes: 2, timeout: patience, environment: environment)
            }
            try await register.register(a, ttl: .seconds(600))
            try await register.register(b, ttl: .seconds(600))
            try expect([a, b], await group.next() ?? [], "nodes that were waited for")
        }
        // Those that are there need no waiting, not even with a timeout that is over.
        try await expect(
            [a, b],
            register.waitForService(
                "apples", nodes: 2, timeout: patience, environment: environment),
            "nodes that are there")
    }

    private func closing(_ register: any Register) async throws {
        let apple = node("a", "apples")
        try await register.register(apple, ttl: .seconds(600))
        let events = register.watch()
        _ = try await snapshot(events)
        await register.close()
        await register.close()
        try await ended(events)
        try await ended(register.watch())
        try await refused("registering after close", .unavailable) {
            try await register.register(apple, ttl: .seconds(600))
        }
        try await refused("deregistering after close", .unavailable) {
            try await register.deregister(apple)
        }
        try await refused("a lookup after close", .unavailable) {
            _ = try await register.lookup("apples")
        }
        try await refused("a list after close", .unavailable) { _ = try await register.list() }
    }

    // MARK: Helpers

    private func node(
        _ id: String, _ service: String, version: String = "1",
        namespace: String = RegisterNamespace.standard
    ) -> ServiceNode {
        reduced(
            ServiceNode(
                id: id, service: service, version: version, namespace: namespace,
                addresses: ["tcp://127.0.0.1:4711"], metadata: ["of": service], codecs: ["json"]))
    }

    private func refused(
        _ what: String, _ code: MicroError.Code = .invalidArgument, _ body: () async throws -> Void
    ) async throws {
        let error = try await refusal(what, body)
        try require(error.code == code, "\(what) is refused with \(error), not with \(code)")
    }

    /// The next event; a register that cannot be reached for a moment is no event.
    private func next(_ events: RegisterEvents) async throws -> RegisterEvent {
        while true {
            guard let event = try await take(events) else { throw Wrong("the watch has ended") }
            if case .interrupted = event.change { continue }
            return event
        }
    }

    private func take(_ events: RegisterEvents) async throws -> RegisterEvent? {
        let event = try await within(patience, environment) {
            var iterator = events.makeAsyncIterator()
            return await iterator.next()
        }
        guard let event else { throw Wrong("no event came in \(patience)") }
        return event
    }

    private func ended(_ events: RegisterEvents) async throws {
        while let event = try await take(events) {
            if case .interrupted = event.change { continue }
            throw Wrong("a watch that should have ended goes on with \(event)")
        }
    }

    private func snapshot(
        _ events: RegisterEvents, expecting nodes: [ServiceNode]? = nil
    ) async throws -> RegisterEvent {
        let event = try await next(events)
        guard case .snapshot(let found) = event.change else {
            throw Wrong("the first event is \(event), not a snapshot")
        }
        if let nodes { try expect(nodes, found, "the snapshot") }
        return event
    }
}
