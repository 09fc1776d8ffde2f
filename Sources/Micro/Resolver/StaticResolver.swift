/// Services whose nodes are known beforehand and do not change.
public struct StaticResolver: Resolver {
    private let services: [String: [ResolvedNode]]

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

    /// See ``Resolver/updates(for:)``: one state, then it waits until it is cancelled.
    public func updates(for service: String) -> ResolverUpdates {
        let (updates, source) = ResolverUpdates.make()
        source.send(Resolution(service: service, nodes: services[service] ?? [], revision: 1))
        return updates
    }

    /// See ``Resolver/refresh(_:)``: there is nothing to ask.
    public func refresh(_ service: String) async throws -> Resolution { try await resolve(service) }

    /// There is nothing to end.
    public func close() async {}
}

/// For error messages: the first ten names.
func knownServices(_ names: [String]) -> String {
    guard !names.isEmpty else { return "there are none" }
    let shown = names.prefix(10).joined(separator: ", ")
    return "there are \(shown)" + (names.count > 10 ? " and \(names.count - 10) more" : "")
}
