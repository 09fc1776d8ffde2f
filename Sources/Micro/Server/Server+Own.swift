internal import Logging

/// The names by which callers know the services that a server serves.
struct ServedServices {
    /// Every name, also those that only some callers use.
    let all: Set<String>
    /// One for each: that of gRPC clients, with its package.
    let grpc: Set<String>

    init(of name: String, _ endpoints: [String]) {
        let paths = endpoints.map { EndpointPaths(service: name, endpoint: $0) }
        all = Set(paths.flatMap(\.services)).union([name])
        grpc = Set(paths.map(\.grpcService))
    }
}

/// What a server serves beside the endpoints of the program: its health, and what it is made of.
///
/// Hooks see these calls as all others: one that asks for credentials may let the endpoints
/// "grpc.health.v1.Health/…" pass.
extension Server {
    func ownEndpoints(_ services: ServedServices) -> [ServedEndpoint] {
        let health = options.health ? self.health.endpoints : []
        guard options.reflection else { return health }
        let index = makeIndex().index
        let missing = index.missing
        if !missing.isEmpty {
            logger.warning(
                "reflection lacks files that others import: nobody described them",
                metadata: ["files": "\(missing.joined(separator: " "))"])
        }
        let own = (options.health ? [Health.service] : []) + Reflection.services
        let reflection = Reflection(services: services.grpc.union(own).sorted(), index: index)
        return health + reflection.endpoints
    }

    private func makeIndex() -> (index: DescriptorIndex, problems: [String]) {
        var index = DescriptorIndex()
        var problems: [String] = []
        for file in descriptions {
            do throws(MicroError) {
                try index.add(file)
            } catch {
                problems.append(error.detail)
            }
        }
        for file in FileDescriptor.ownFiles { index.addUnlessKnown(file) }
        return (index, problems)
    }

    /// What is wrong with the files that were described.
    var descriptionProblems: [String] { makeIndex().problems }

    /// Endpoints of the program that would answer where the server itself does.
    func collisionsWithOwn(_ endpoints: [ServedEndpoint]) -> [String] {
        var own: [String: String] = [:]
        if options.health {
            for endpoint in health.endpoints { own["/\(endpoint.name)"] = "health" }
        }
        if options.reflection {
            for service in Reflection.services {
                own["/\(service)/ServerReflectionInfo"] = "reflection"
            }
        }
        return endpoints.compactMap { endpoint in
            let paths = EndpointPaths(service: name, endpoint: endpoint.name)
            guard let path = paths.all.first(where: { own[$0] != nil }), let option = own[path]
            else {
                return nil
            }
            return "\"\(endpoint.name)\" answers at \(path), where every server does: "
                + "set options.\(option) of the server to false to serve your own"
        }
    }
}
