internal import ArgumentParser
internal import Micro

/// `micro-interop client`
struct ClientCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "client",
        abstract: "Runs cases against a server; the exit code is 1 when one of them fails.")

    @Option(name: .long, help: "The host of the server.")
    var host = "127.0.0.1"

    @Option(name: .long, help: "The port of the server.")
    var port: UInt16

    @Option(
        name: .customLong("case"),
        help: "The case to run, or all: \(InteropCase.all.map(\.name).joined(separator: ", ")).")
    var name = "all"

    @Flag(name: .long, help: "Encrypt, and verify the server.")
    var tls = false

    @Option(name: .long, help: "The file of the authorities to trust; else those of the system.")
    var ca: String?

    @Option(name: .long, help: "The name that the server's certificate must have, if not HOST.")
    var serverHostOverride: String?

    func validate() throws {
        guard tls || (ca == nil && serverHostOverride == nil) else {
            throw ValidationError("--ca and --server-host-override need --tls")
        }
        guard name == "all" || InteropCase.all.contains(where: { $0.name == name }) else {
            throw ValidationError("--case \(name): there is no such case")
        }
    }

    func run() async throws {
        var options = ClientOptions()
        if tls {
            options.tls = ClientTLSOptions(
                ca: ca.map { .file($0) } ?? .system, serverName: serverHostOverride)
        }
        let client = Client(resolver: StaticResolver(addresses: [:]), options: options)
        let host = host.contains(":") ? "[\(host)]" : host
        let server = TestedServer(client, address: "\(tls ? "tls" : "tcp")://\(host):\(port)")
        var failed = 0
        let cases = InteropCase.all.filter { name == "all" || $0.name == name }
        for each in cases {
            do {
                try await each.run(server)
                printLine("passed \(each.name)")
            } catch {
                failed += 1
                printLine("FAILED \(each.name): \(error)")
            }
        }
        await client.close()
        printLine("\(cases.count - failed) passed, \(failed) failed")
        if failed > 0 { throw ExitCode(1) }
    }
}

/// The server under test.
struct TestedServer: Sendable {
    let client: Client
    let options: CallOptions
    let service: Grpc_Testing_TestServiceClient
    let absent: Grpc_Testing_UnimplementedServiceClient

    init(_ client: Client, address: String) {
        self.client = client
        options = CallOptions(timeout: .seconds(30), retry: .never, address: address)
        service = .init(client, service: "interop", options: options)
        absent = .init(client, service: "interop", options: options)
    }

    /// The options of all calls, with a change.
    func options(_ change: (inout CallOptions) -> Void) -> CallOptions {
        var options = options
        change(&options)
        return options
    }
}
