import Synchronization
import Testing

@testable import Micro

/// Nodes that are at hand because their service is followed.
@Suite(.timeLimit(.minutes(10)))
struct NodeDirectoryTests {
    private func withDirectory(
        _ body: @escaping @Sendable (NodeDirectory, TellingResolver) async throws -> Void
    ) async throws {
        try await withSimulation {
            let resolver = TellingResolver()
            let directory = NodeDirectory(
                resolver: resolver, router: DirectRouter(), environment: .current)
            try await body(directory, resolver)
            await directory.close()
            try await Environment.current.clock.sleep(for: .milliseconds(1))
            #expect(resolver.followers == 0)
            #expect(directory.known("greeter", for: RouteQuery()) == nil)
        }
    }

    private func addresses(
        _ directory: NodeDirectory, _ query: RouteQuery = RouteQuery()
    ) async throws -> [String]? {
        // The resolver's news take a turn of the loop.
        try await Environment.current.clock.sleep(for: .milliseconds(1))
        return directory.known("greeter", for: query)?.nodes.flatMap(\.addresses)
    }

    @Test func whoIsFollowedIsNotAskedForAgain() async throws {
        try await withDirectory { directory, resolver in
            resolver.tell(["memory://a"])
            #expect(try await addresses(directory) == nil)
            let first = try await directory.nodes(of: "greeter", for: RouteQuery())
            #expect(first.nodes.flatMap(\.addresses) == ["memory://a"])
            #expect(try await addresses(directory) == ["memory://a"])
            resolver.tell(["memory://b", "memory://c"])
            #expect(try await addresses(directory) == ["memory://b", "memory://c"])
            #expect(resolver.questions == 1)
            #expect(resolver.followers == 1)
        }
    }

    @Test func withoutNodesTheResolverIsAskedSinceItKnowsWhy() async throws {
        try await withDirectory { directory, resolver in
            resolver.tell(["memory://a"])
            _ = try await directory.nodes(of: "greeter", for: RouteQuery())
            resolver.tell([])
            #expect(try await addresses(directory) == nil)
            resolver.tell(["memory://a"])
            #expect(try await addresses(directory) == ["memory://a"])
            #expect(try await addresses(directory, RouteQuery(version: "9")) == nil)
            let error = try await microError {
                _ = try await directory.nodes(of: "greeter", for: RouteQuery(version: "9"))
            }
            #expect(error.code == .unavailable)
            #expect(resolver.followers == 1)
        }
    }

    @Test func aStampStandsForAState() async throws {
        try await withDirectory { directory, resolver in
            resolver.tell(["memory://a"])
            _ = try await directory.nodes(of: "greeter", for: RouteQuery())
            _ = try await addresses(directory)
            let service = try #require(directory.followed("greeter"))
            let (nodes, stamp) = service.nodes(for: RouteQuery())
            #expect(nodes?.nodes.flatMap(\.addresses) == ["memory://a"])
            #expect(service.stamp == stamp)
            resolver.tell(["memory://b"])
            _ = try await addresses(directory)
            #expect(service.stamp != stamp)
        }
    }

    @Test func whoIsNotCalledIsForgottenAndWhoIsCalledIsKept() async throws {
        try await withDirectory { directory, resolver in
            let clock = Environment.current.clock
            resolver.tell(["memory://a"])
            _ = try await directory.nodes(of: "greeter", for: RouteQuery())
            for _ in 0..<10 {
                try await clock.sleep(for: .seconds(100))
                #expect(try await addresses(directory) == ["memory://a"])
            }
            try await clock.sleep(for: .seconds(600))
            #expect(try await addresses(directory) == nil)
            #expect(resolver.followers == 0)
            _ = try await directory.nodes(of: "greeter", for: RouteQuery())
            #expect(try await addresses(directory) == ["memory://a"])
        }
    }

    @Test func endpointsThatShareAPlaceAreNotMixedUp() {
        let cache = EndpointCache()
        let terms = EndpointTerms(CallPolicy(), limiter: nil)
        for round in 0..<2 {
            for number in 0..<2000 {
                let (service, name) = ("service\(number % 7)", "Endpoint.Number\(number)")
                let endpoint = cache.endpoint(service, name) {
                    PreparedEndpoint(service, name, terms, nil)
                }
                #expect(endpoint.service == service, "\(round)")
                #expect(endpoint.endpoint == name)
                let head = endpoint.head(for: "application/grpc+json")
                #expect(head.path == "/service\(number % 7)/Endpoint.Number\(number)")
                #expect(endpoint.head(for: "application/grpc+json") === head)
            }
        }
    }
}

/// Tells whoever follows it what the test says.
private final class TellingResolver: Resolver {
    private struct State {
        var resolution = Resolution(service: "greeter", nodes: [], revision: 0)
        var sources: [UInt64: ResolverUpdates.Source] = [:]
        var last: UInt64 = 0
        var questions = 0
    }

    private let state = Mutex(State())

    var questions: Int { state.withLock { $0.questions } }
    var followers: Int { state.withLock { $0.sources.count } }

    func tell(_ addresses: [String]) {
        let (resolution, sources) = state.withLock { state in
            state.resolution.revision += 1
            state.resolution.nodes = addresses.map { ResolvedNode(id: $0, addresses: [$0]) }
            return (state.resolution, Array(state.sources.values))
        }
        for source in sources { source.send(resolution) }
    }

    func resolve(_ service: String) async throws -> Resolution {
        state.withLock { state in
            state.questions += 1
            return state.resolution
        }
    }

    func updates(for service: String) -> ResolverUpdates {
        let id = state.withLock { state in
            state.last += 1
            return state.last
        }
        let (updates, source) = ResolverUpdates.make(onEnd: { [weak self] in
            _ = self?.state.withLock { $0.sources.removeValue(forKey: id) }
        })
        let resolution = state.withLock { state in
            state.sources[id] = source
            return state.resolution
        }
        source.send(resolution)
        return updates
    }

    func refresh(_ service: String) async throws -> Resolution { try await resolve(service) }
    func close() async {}
}
