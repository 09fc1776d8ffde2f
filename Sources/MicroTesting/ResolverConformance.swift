public import Micro

/// What every ``Resolver`` does, as checks that an implementation runs in its own tests.
///
/// ```swift
/// @Test func conforms() async throws {
///     try await ResolverConformance { services in
///         .init(resolver: StaticResolver(addresses: services))
///     }.run()
/// }
/// ```
/// Each check gets a resolver of its own, closed afterwards. Nothing depends on how fast the
/// machine is: what must happen is waited for.
public struct ResolverConformance: Sendable {
    /// A resolver, and how what it resolves is changed.
    public struct Subject: Sendable {
        var resolver: any Resolver
        var change: (@Sendable (_ service: String, _ addresses: [String]) async throws -> Void)?

        /// - Parameters:
        ///   - resolver: It knows the services that it was made for.
        ///   - change: Gives a service other nodes, none when there are no addresses; nil for a
        ///     resolver of what does not change.
        public init(
            resolver: any Resolver,
            change: (@Sendable (_ service: String, _ addresses: [String]) async throws -> Void)? =
                nil
        ) {
            self.resolver = resolver
            self.change = change
        }
    }

    private let make: @Sendable ([String: [String]]) async throws -> Subject
    private let environment: Environment
    private let patience: Duration

    /// A suite for one implementation.
    ///
    /// - Parameters:
    ///   - environment: The one that the resolvers run on: its clock is waited on.
    ///   - patience: How long to wait for a change before it counts as missing.
    ///   - make: Makes a resolver of services with one node for each of their addresses, which are
    ///     "tcp://", an IPv4 address and the port 4711.
    public init(
        environment: Environment = .current, patience: Duration = .seconds(30),
        make: @escaping @Sendable ([String: [String]]) async throws -> Subject
    ) {
        self.make = make
        self.environment = environment
        self.patience = patience
    }

    /// The checks that failed, and how.
    public typealias Failure = ConformanceFailure

    /// The names of the checks, in the order they are run.
    public static var checks: [String] { all.map(\.name) }

    /// Runs all checks, or those named.
    ///
    /// - Throws: ``Failure`` with every check that failed; `CancellationError`.
    public func run(_ names: [String]? = nil) async throws {
        try await runChecks(Self.all, only: names, name: { $0.name }) { check in
            let subject = try await make(Self.services)
            do {
                try await check.body(self)(subject)
                await subject.resolver.close()
            } catch {
                await subject.resolver.close()
                throw error
            }
        }
    }

    private struct Check: Sendable {
        var name: String
        var body: @Sendable (ResolverConformance) -> (Subject) async throws -> Void
    }

    private static let all: [Check] = [
        Check(name: "nodes are resolved, each id once, in a stable order") { $0.resolving },
        Check(name: "a service without nodes is not found") { $0.unknown },
        Check(name: "a name that is not valid has no nodes") { $0.invalid },
        Check(name: "updates begin with what is there") { $0.first },
        Check(name: "updates of an unknown service begin without nodes") { $0.nothing },
        Check(name: "changes are told, with growing revisions") { $0.changes },
        Check(name: "a service that comes, goes and comes again") { $0.comingAndGoing },
        Check(name: "a slow consumer sees the newest state") { $0.slow },
        Check(name: "refreshing gives what is there") { $0.refreshing },
        Check(name: "1,000 questions at once") { $0.concurrency },
        Check(name: "cancelled updates end, and others go on") { $0.cancelling },
        Check(name: "closing ends updates") { $0.closing },
    ]

    private static let services = [
        "apples": ["tcp://10.7.0.1:4711", "tcp://10.7.0.2:4711", "tcp://10.7.0.3:4711"],
        "bananas": ["tcp://10.7.0.9:4711"],
    ]

    // MARK: Checks

    private func resolving(_ subject: Subject) async throws {
        let resolution = try await subject.resolver.resolve("apples")
        try expect("apples", resolution.service, "service")
        try expect(Self.services["apples"] ?? [], addresses(resolution), "addresses")
        try expect(3, Set(resolution.nodes.map(\.id)).count, "ids")
        try expect(.zero, resolution.age, "age")
        for node in resolution.nodes {
            try require((1...1000).contains(node.weight), "a node has the weight \(node.weight)")
            try expect(.ready, node.state, "state of a node")
        }
        let again = try await subject.resolver.resolve("apples")
        try expect(resolution.nodes, again.nodes, "nodes when asked again")
        try expect(resolution.revision, again.revision, "revision when asked again")
        let other = try await subject.resolver.resolve("bananas")
        try expect(Self.services["bananas"] ?? [], addresses(other), "addresses of the other")
    }

    private func unknown(_ subject: Subject) async throws {
        for _ in 0..<2 {
            let error = try await refusal("an unknown service") {
                _ = try await subject.resolver.resolve("cherries")
            }
            try expect(.notFound, error.code, "code of an unknown service")
            try require(error.detail.contains("cherries"), "the error does not say which: \(error)")
        }
        _ = try await subject.resolver.resolve("apples")
    }

    private func invalid(_ subject: Subject) async throws {
        for name in ["", "a b", "a/b", "\u{0}", "..", String(repeating: "x", count: 300)] {
            let error = try await refusal(name.debugDescription) {
                _ = try await subject.resolver.resolve(name)
            }
            try require(
                [.invalidArgument, .notFound, .unavailable].contains(error.code),
                "\(name.debugDescription) is refused with \(error)")
        }
        _ = try await subject.resolver.resolve("apples")
    }

    private func first(_ subject: Subject) async throws {
        for _ in 0..<2 {
            let updates = subject.resolver.updates(for: "apples")
            let resolution = try await next(updates)
            try expect("apples", resolution.service, "service")
            try expect(Self.services["apples"] ?? [], addresses(resolution), "addresses")
            updates.cancel()
        }
    }

    private func nothing(_ subject: Subject) async throws {
        let resolution = try await next(subject.resolver.updates(for: "cherries"))
        try expect([], resolution.nodes, "nodes")
    }

    private func changes(_ subject: Subject) async throws {
        guard let change = subject.change else { return }
        let updates = subject.resolver.updates(for: "apples")
        let before = try await next(updates)
        let moved = ["tcp://10.7.0.1:4711", "tcp://10.7.0.4:4711"]
        try await change("apples", moved)
        let after = try await next(updates, until: { addresses($0) == moved })
        try require(after.revision > before.revision, "the revision does not grow")
        let resolved = try await subject.resolver.resolve("apples")
        try expect(moved, addresses(resolved), "addresses that are resolved")
        try expect(after.revision, resolved.revision, "revision of equal nodes")
        let kept = before.nodes.first?.id
        try expect(kept, after.nodes.first?.id, "id of the node that stayed")
    }

    private func comingAndGoing(_ subject: Subject) async throws {
        guard let change = subject.change else { return }
        let updates = subject.resolver.updates(for: "cherries")
        _ = try await next(updates)
        for _ in 0..<2 {
            try await change("cherries", ["tcp://10.7.0.5:4711"])
            _ = try await next(updates, until: { addresses($0) == ["tcp://10.7.0.5:4711"] })
            _ = try await subject.resolver.resolve("cherries")
            try await change("cherries", [])
            _ = try await next(updates, until: { $0.nodes.isEmpty })
            let error = try await refusal("a service that is gone") {
                _ = try await subject.resolver.resolve("cherries")
            }
            try expect(.notFound, error.code, "code of a service that is gone")
        }
    }

    private func slow(_ subject: Subject) async throws {
        guard let change = subject.change else { return }
        let slow = subject.resolver.updates(for: "apples")
        let quick = subject.resolver.updates(for: "apples")
        _ = try await next(quick)
        let last = ["tcp://10.7.0.8:4711"]
        for address in ["tcp://10.7.0.6:4711", "tcp://10.7.0.7:4711"] + last {
            try await change("apples", [address])
            _ = try await next(quick, until: { addresses($0) == [address] })
        }
        try await expect(last, addresses(next(slow)), "what a slow consumer sees")
    }

    private func refreshing(_ subject: Subject) async throws {
        let before = try await subject.resolver.refresh("apples")
        try expect(Self.services["apples"] ?? [], addresses(before), "addresses")
        let error = try await refusal("refreshing an unknown service") {
            _ = try await subject.resolver.refresh("cherries")
        }
        try expect(.notFound, error.code, "code of an unknown service")
        guard let change = subject.change else { return }
        try await change("apples", ["tcp://10.7.0.4:4711"])
        let resolver = subject.resolver
        let clock = environment.clock
        let found = try await within(patience, environment) {
            // A resolver may have asked just now, and not do it again at once.
            while true {
                let resolution = try await resolver.refresh("apples")
                if resolution.nodes.map(\.address) == ["tcp://10.7.0.4:4711"] { return true }
                try await clock.sleep(for: .milliseconds(20))
            }
        }
        try require(found == true, "what was changed is not there after refreshing")
    }

    private func concurrency(_ subject: Subject) async throws {
        let resolver = subject.resolver
        let expected = Self.services["apples"] ?? []
        let right = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<1_000 {
                group.addTask {
                    try await resolver.resolve("apples").nodes.map(\.address) == expected
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        try expect(1_000, right, "right answers")
    }

    private func cancelling(_ subject: Subject) async throws {
        let updates = subject.resolver.updates(for: "apples")
        let others = subject.resolver.updates(for: "apples")
        _ = try await next(updates)
        updates.cancel()
        updates.cancel()
        try await ended(updates)
        let isEnded = await withTaskGroup(of: Bool.self) { group in
            let updates = subject.resolver.updates(for: "apples")
            group.addTask {
                for await _ in updates {}
                return true
            }
            group.cancelAll()
            return await group.next() ?? false
        }
        try require(isEnded, "updates whose task was cancelled go on")
        _ = try await next(others)
    }

    private func closing(_ subject: Subject) async throws {
        let updates = subject.resolver.updates(for: "apples")
        _ = try await next(updates)
        await subject.resolver.close()
        await subject.resolver.close()
        try await ended(updates)
        try await ended(subject.resolver.updates(for: "apples"))
    }

    // MARK: Helpers

    private func addresses(_ resolution: Resolution) -> [String] {
        resolution.nodes.map(\.address).sorted()
    }

    /// The next state that is the one waited for.
    private func next(
        _ updates: ResolverUpdates,
        until isWanted: @escaping @Sendable (Resolution) -> Bool = { _ in true }
    ) async throws -> Resolution {
        let resolution = try await within(patience, environment) { () -> Resolution in
            var iterator = updates.makeAsyncIterator()
            while let resolution = await iterator.next() {
                if isWanted(resolution) { return resolution }
            }
            throw Wrong("the updates have ended")
        }
        guard let resolution else { throw Wrong("no such state came in \(patience)") }
        return resolution
    }

    /// What waited is given out, then nothing more.
    private func ended(_ updates: ResolverUpdates) async throws {
        let isEnded = try await within(patience, environment) {
            for await _ in updates {}
            return true
        }
        try require(isEnded == true, "updates that should have ended go on")
    }
}
