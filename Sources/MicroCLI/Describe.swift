internal import ArgumentParser
internal import Micro

/// `microctl describe NAME`
struct Describe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows the nodes and the endpoints of a service.",
        discussion: """
              microctl describe greeter
              microctl describe greeter --json
            """)

    @Argument(help: "The name of the service.")
    var name: String

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
        try await reportingErrors {
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
}
