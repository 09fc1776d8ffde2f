internal import ArgumentParser
internal import Micro

/// `microctl health NAME`
struct HealthCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health",
        abstract: "Asks a server how it does.",
        usage: "microctl health <name> [--service <service>] [--watch] [<options>]",
        discussion: """
              microctl health greeter
              microctl health 127.0.0.1:50051 --service shop.Cart
              microctl health greeter --watch

            Works with any gRPC server that serves grpc.health.v1.Health, and prints one
            line: SERVING, NOT_SERVING or UNKNOWN. With --watch it prints each change.

            The exit code is 0 for SERVING, and 1 for everything else.
            """)

    @Argument(help: "The name of the service, or an address such as 127.0.0.1:8080.")
    var name: String

    @Option(name: .long, help: "Which service of the server; the whole server by default.")
    var service = ""

    @Flag(name: .long, help: "Go on, and print each change.")
    var watch = false

    @Option(
        name: .long,
        help: "How long it may take, in seconds. Default: 5, with --watch for ever.")
    var timeout: Double?

    @OptionGroup var headers: HeaderOptions
    @OptionGroup var registerOptions: RegisterOptions
    @OptionGroup var output: OutputOptions

    private struct Line: Encodable {
        let service, status: String
    }

    func run() async throws {
        let options = try options()
        let status: ServingStatus
        do {
            status = try await registerOptions.useClient { client in
                watch ? try await follow(client, options) : try await check(client, options)
            }
        } catch let error as MicroError {
            printError(error)
            throw ExitCode(1)
        }
        if status != .serving { throw ExitCode(1) }
    }

    private func options() throws -> CallOptions {
        var options = CallOptions(timeout: nil)
        if let timeout {
            options.timeout = try duration("--timeout", timeout)
        } else if !watch {
            options.timeout = .seconds(5)
        }
        options.metadata = try headers.metadata()
        if isAddress(name) { options.address = name }
        return options
    }

    private func check(_ client: Client, _ options: CallOptions) async throws -> ServingStatus {
        let response = try await client.response(
            name, "grpc.health.v1.Health/Check", HealthCheckRequest(service: service),
            writing: WireCoding<HealthCheckRequest>(),
            reading: WireCoding<HealthCheckResponse>(), options: options)
        try show(response.reply.status)
        return response.reply.status
    }

    /// - Returns: The last one.
    private func follow(_ client: Client, _ options: CallOptions) async throws -> ServingStatus {
        let replies = try await client.stream(
            name, "grpc.health.v1.Health/Watch", HealthCheckRequest(service: service),
            writing: WireCoding<HealthCheckRequest>(),
            reading: WireCoding<HealthCheckResponse>(), options: options)
        var last = ServingStatus.unknown
        for try await reply in replies {
            try show(reply.status)
            last = reply.status
        }
        return last
    }

    private func show(_ status: ServingStatus) throws {
        guard output.json else { return printBytes(Array(status.rawValue.utf8)) }
        try printJSON(Line(service: service, status: status.rawValue))
    }
}
