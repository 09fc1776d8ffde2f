import ArgumentParser
import Micro

/// Makes a node fail every call, or serve again.
struct SetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Break a node, or mend it.")

    @Option(help: "The node.") var address: String
    @Flag(inversion: .prefixedNo, help: "Whether it fails.") var fails = true

    func run() async throws {
        let client = Client(resolver: StaticResolver(addresses: [:]))
        let options = CallOptions(address: address)
        _ = try await client.call("work", "Work.Fail", fails, as: Bool.self, options: options)
        await client.close()
    }
}
