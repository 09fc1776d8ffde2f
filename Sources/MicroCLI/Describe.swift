internal import ArgumentParser
internal import Micro
internal import MicroReflection

/// `microctl describe NAME`
struct Describe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows the nodes and the endpoints of a service.",
        usage: "microctl describe <name> [<options>]",
        discussion: """
              microctl describe greeter
              microctl describe greeter --json
              microctl describe 127.0.0.1:50051

            Any gRPC server at an address is asked by reflection.
            """)

    @Argument(help: "The name of the service, or an address such as 127.0.0.1:8080.")
    var name: String

    @OptionGroup var headers: HeaderOptions

    @OptionGroup var registerOptions: RegisterOptions
    @OptionGroup var output: OutputOptions

    private struct Node: Encodable {
        let id, version, namespace, state, zone: String
        let addresses, codecs: [String]
        let weight: UInt32
        let metadata: [String: String]
        let endpoints: [Method]
    }

    private struct Method: Encodable {
        let name, request, reply: String
    }

    func run() async throws {
        let metadata = try headers.metadata()
        try await reportingErrors {
            if isAddress(name) { return try await describeServer(metadata) }
            try await registerOptions.use { register in
                let nodes = try await register.lookup(name, namespace: RegisterNamespace.wildcard)
                guard !nodes.isEmpty else { throw try await missing(register) }
                guard !output.json else { return try printJSON(nodes.map(Describe.encodable)) }
                printTable(
                    ["NODE", "VERSION", "STATE", "ADDRESSES", "METADATA"],
                    nodes.map(Describe.row))
                let methods = Set(nodes.flatMap(\.methods)).sorted { $0.name < $1.name }
                guard !methods.isEmpty else { return print("\nno endpoints are known") }
                print("")
                printTable(
                    ["ENDPOINT", "REQUEST", "REPLY"],
                    methods.map { [$0.name, $0.request, $0.reply] })
            }
        }
    }

    private func missing(_ register: any Register) async throws -> MicroError {
        let known = try await register.list(namespace: RegisterNamespace.wildcard).map(\.name)
        let there = known.isEmpty ? "it is empty" : "it holds \(known.joined(separator: ", "))"
        return MicroError.notFound(
            "microctl.describe", "no service \"\(name)\" in \(register.describe()): \(there)")
    }

    private static func row(_ node: ServiceNode) -> [String] {
        let metadata = node.metadata.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return [
            node.id, node.version, "\(node.state)", node.addresses.joined(separator: " "),
            metadata.joined(separator: " "),
        ]
    }

    private static func encodable(_ node: ServiceNode) -> Node {
        Node(
            id: node.id, version: node.version, namespace: node.namespace, state: "\(node.state)",
            zone: node.zone, addresses: node.addresses, codecs: node.codecs, weight: node.weight,
            metadata: node.metadata,
            endpoints: node.methods.map {
                Method(name: $0.name, request: $0.request, reply: $0.reply)
            })
    }

    // MARK: By reflection

    private struct Described: Encodable {
        let name: String
        let isDescribed: Bool
        let endpoints: [Streaming]
    }

    private struct Streaming: Encodable {
        let name, request, reply: String
        let streamsRequests, streamsReplies: Bool
    }

    private func describeServer(_ metadata: Metadata) async throws {
        let options = CallOptions(timeout: .seconds(5), metadata: metadata, address: name)
        let services = try await registerOptions.useClient { client in
            let reflection = ReflectionClient(client, name, options: options)
            var services: [Described] = []
            for service in try await reflection.services() {
                services.append(try await described(service, reflection))
            }
            return services
        }
        guard !output.json else { return try printJSON(services) }
        printTable(["ENDPOINT", "REQUEST", "REPLY"], services.flatMap(Describe.rows))
    }

    private func described(
        _ service: String, _ reflection: ReflectionClient
    ) async throws -> Described {
        do {
            let pool = DescriptorPool(try await reflection.files(defining: [service]))
            let methods = pool.services[service]?.methods ?? []
            return Described(
                name: service, isDescribed: true,
                endpoints: methods.map {
                    Streaming(
                        name: "\(service)/\($0.name)", request: $0.input.withoutLeadingDot,
                        reply: $0.output.withoutLeadingDot, streamsRequests: $0.streamsRequests,
                        streamsReplies: $0.streamsReplies)
                })
        } catch let error as MicroError where error.code == .notFound {
            return Described(name: service, isDescribed: false, endpoints: [])
        }
    }

    private static func rows(_ service: Described) -> [[String]] {
        guard service.isDescribed else { return [["\(service.name)/?", "not described", ""]] }
        return service.endpoints.map { endpoint in
            [
                endpoint.name, (endpoint.streamsRequests ? "stream " : "") + endpoint.request,
                (endpoint.streamsReplies ? "stream " : "") + endpoint.reply,
            ]
        }
    }
}
