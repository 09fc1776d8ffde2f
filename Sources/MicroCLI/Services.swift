internal import ArgumentParser
internal import Micro

/// `microctl services`
struct Services: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lists the services in the register.")

    @OptionGroup var registerOptions: RegisterOptions
    @OptionGroup var output: OutputOptions

    private struct Line: Encodable {
        let namespace, name: String
        let versions: [String]
        let nodes: Int
    }

    func run() async throws {
        try await reportingErrors {
            try await registerOptions.use { register in
                let services = try await register.list(namespace: RegisterNamespace.wildcard)
                guard !output.json else { return try printJSON(services.map(Services.line)) }
                guard !services.isEmpty else {
                    return print("no service is in \(register.describe())")
                }
                let rows = services.map { service in
                    [
                        service.name, service.versions.joined(separator: " "),
                        "\(service.nodes.count)", service.namespace,
                    ]
                }
                printTable(["NAME", "VERSIONS", "NODES", "NAMESPACE"], rows)
                print("\nin \(register.describe())")
            }
        }
    }

    private static func line(_ service: ServiceRecord) -> Line {
        Line(
            namespace: service.namespace, name: service.name, versions: service.versions,
            nodes: service.nodes.count)
    }
}
