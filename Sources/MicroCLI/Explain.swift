internal import ArgumentParser
internal import Micro

/// `microctl explain NAME ENDPOINT`
struct Explain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says what would become of a call, without making it.",
        usage: "microctl explain <name> <endpoint> [<options>]",
        discussion: """
              microctl explain greeter Greeter.Hello
              microctl explain shop Cart.Add -H 'x-user: 7' --rules rules.json
              microctl explain shop Cart.Add --key 7 -o json

            Shows where the nodes come from, which of them the call may use and why not the
            others, how long it may take and when it would be tried again. Nothing is sent.

            With --rules it is held against the rules and routes of a file:
            {"rules": [{"name": "canary", "to": [{"version": "2"}], "otherwise": "any"}]}

            The exit code is 0 when the call would be sent, and as that of microctl call when
            it would fail for want of a node.
            """)

    @Argument(help: "The name of the service, or an address such as 127.0.0.1:8080.")
    var name: String

    @Argument(help: "The endpoint: Greeter.Hello.")
    var endpoint: String

    @OptionGroup var headers: HeaderOptions

    @Option(name: .long, help: "What the call is about, a user for instance: for shares of calls.")
    var key: String?

    @Option(name: .long, help: "The version of the service that the call asks for.")
    var serviceVersion: String?

    @Option(name: .long, help: "How long the call may take, in seconds. Default: 5.")
    var timeout: Double?

    @Option(name: .long, help: "A JSON file with rules and routes, to try them.")
    var rules: String?

    @Option(name: .long, help: "The zone of the caller.")
    var zone = ""

    @OptionGroup var registerOptions: RegisterOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let options = try options()
        try await reportingErrors {
            let routing = try await routing()
            let router = try RuleRouter(routing.rules, zone: zone)
            let explanation = try await registerOptions.useClient(
                routing: router, along: try RouteTable(routing.routes), zone: zone
            ) { client in
                try await client.explain(name, endpoint, options: options)
            }
            try show(explanation)
        }
    }

    private func show(_ explanation: CallExplanation) throws {
        if output.json {
            try printJSON(explanation)
        } else {
            printBytes(Array(explanation.description.utf8))
        }
        guard let failure = explanation.failure else { return }
        throw MicroError(
            "microctl.explain", MicroError.Code(rpc: UInt32(clamping: failure.code)),
            failure.detail)
    }

    private func options() throws -> CallOptions {
        var options = CallOptions(version: serviceVersion)
        if let timeout { options.timeout = try duration("--timeout", timeout) }
        options.metadata = try headers.metadata()
        options.hashKey = key
        if isAddress(name) { options.address = name }
        return options
    }

    private func routing() async throws -> RouteConfig {
        guard let rules else { return RouteConfig() }
        return try await Config(
            RouteConfig(), from: [.file(rules)], validate: { try $0.validate() }
        ).current
    }
}
