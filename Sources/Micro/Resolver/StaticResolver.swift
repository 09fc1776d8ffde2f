internal import Synchronization

/// Services whose nodes are known beforehand and do not change.
public struct StaticResolver: Resolver {
    private let services: [String: [ResolvedNode]]
    private let followers = Followers()

    /// - Parameter services: The nodes of each service.
    public init(_ services: [String: [ResolvedNode]]) { self.services = services }

    /// - Parameter addresses: The addresses of each service, one for each node, which has the
    ///   address for its id too.
    public init(addresses: [String: [String]]) {
        self.init(
            addresses.mapValues { $0.map { ResolvedNode(id: $0, addresses: [$0]) } })
    }

    /// "fixed addresses".
    public func describe() -> String { "fixed addresses" }

    /// See ``Resolver/resolve(_:)``.
    public func resolve(_ service: String) async throws -> Resolution {
        guard let nodes = services[service], !nodes.isEmpty else {
            throw MicroError.notFound(
                "resolver",
                "\(RegisterName.excerpt(service)) is not one of the fixed services: "
                    + knownServices(services.keys.sorted()))
        }
        return Resolution(service: service, nodes: nodes, revision: 1)
    }

    /// See ``Resolver/updates(for:)``: one state, then it waits for the end.
    public func updates(for service: String) -> ResolverUpdates {
        let id = followers.makeID()
        let (updates, source) = ResolverUpdates.make(onEnd: { [followers] in followers.remove(id) })
        source.send(Resolution(service: service, nodes: services[service] ?? [], revision: 1))
        followers.add(source, id)
        return updates
    }

    /// See ``Resolver/refresh(_:)``: there is nothing to ask.
    public func refresh(_ service: String) async throws -> Resolution { try await resolve(service) }

    /// See ``Resolver/close()``: updates end, and nodes are still known.
    public func close() async { followers.end() }

    /// The updates that have not ended.
    private final class Followers: Sendable {
        private struct State {
            var sources: [UInt64: ResolverUpdates.Source] = [:]
            var last: UInt64 = 0
            var isEnded = false
        }

        private let state = Mutex(State())

        func makeID() -> UInt64 {
            state.withLock { state in
                state.last += 1
                return state.last
            }
        }

        func add(_ source: ResolverUpdates.Source, _ id: UInt64) {
            let isEnded = state.withLock { state in
                if !state.isEnded { state.sources[id] = source }
                return state.isEnded
            }
            if isEnded { source.finish() }
        }

        func remove(_ id: UInt64) {
            state.withLock { _ = $0.sources.removeValue(forKey: id) }
        }

        func end() {
            let sources = state.withLock { state in
                state.isEnded = true
                defer { state.sources = [:] }
                return state.sources.sorted { $0.key < $1.key }.map(\.value)
            }
            for source in sources { source.finish() }
        }
    }
}

/// For error messages: the first ten names.
func knownServices(_ names: [String]) -> String {
    guard !names.isEmpty else { return "there are none" }
    let shown = names.prefix(10).joined(separator: ", ")
    return "there are \(shown)" + (names.count > 10 ? " and \(names.count - 10) more" : "")
}
