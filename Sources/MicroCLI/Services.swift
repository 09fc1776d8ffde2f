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
                if output.json {
                    return try printJSON(
                        services.map {
                            Line(
                                namespace: $0.namespace, name: $0.name, versions: $0.versions,
                                nodes: $0.nodes.count)
                        })
                }
                guard !services.isEmpty else {
                    return print("no service is in \(register.describe())")
                }
                printTable(
                    ["NAME", "VERSIONS", "NODES", "NAMESPACE"],
                    services.map {
                        [$0.name, $0.versions.joined(separator: " "), "\($0.nodes.count)", $0.namespace]
                    })
                print("\nin \(register.describe())")
            }
        }
    }
}
