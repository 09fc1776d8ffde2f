internal import ArgumentParser
internal import Micro

/// `microctl call NAME ENDPOINT JSON`
struct Call: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Calls an endpoint with a JSON message and prints the reply.",
        discussion: "Exits with 64 plus the gRPC status code when the call fails.")

    @Argument(help: "The name of the service, or an address such as tcp://127.0.0.1:8080.")
    var name: String

    @Argument(help: "The endpoint: Greeter.Hello, or in full package.Service/Method.")
    var endpoint: String

    @Argument(help: "The message; \"-\" reads it from standard input.")
    var message: String = "{}"

    @Option(name: [.customShort("H"), .long], help: "Metadata, as \"name: value\". May be repeated.")
    var header: [String] = []

    @Option(name: .long, help: "How long the call may take, in seconds.")
    var timeout: Double = 5

    @OptionGroup var registerOptions: RegisterOptions
    @OptionGroup var output: OutputOptions

    private struct Answer: Encodable {
        let node: String
        let attempts: Int
        let metadata: [String: String]
        let reply: String
    }

    func run() async throws {
        try await reportingErrors {
            let request = ClientRequest(
                service: name, endpoint: endpoint, body: try body(), options: try options())
            let response = try await registerOptions.use { register in
                try await Client(resolver: RegisterResolver(register: register)).send(request)
            }
            let reply = String(decoding: response.body, as: UTF8.self)
            guard output.json else { return print(reply) }
            try printJSON(
                Answer(
                    node: response.report.node, attempts: response.report.attempts,
                    metadata: Call.texts(response.metadata), reply: reply))
        }
    }

    private func body() throws -> [UInt8] {
        guard message == "-" else { return Array(message.utf8) }
        var text = ""
        while let line = readLine(strippingNewline: false) { text += line }
        return Array(text.utf8)
    }

    private func options() throws -> CallOptions {
        guard timeout > 0, timeout <= 86_400 else {
            throw ValidationError("--timeout is \(timeout): it must be more than 0 and at most 86400")
        }
        var options = CallOptions(timeout: .milliseconds(Int64(timeout * 1000)))
        for line in header {
            guard let colon = line.firstIndex(of: ":") else {
                throw ValidationError("--header \"\(line)\" has no colon: write \"name: value\"")
            }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            options.metadata.append(String(line[..<colon]), String(value))
        }
        guard name.contains("://") else { return options }
        guard endpoint.contains("/") else {
            throw ValidationError(
                "at an address the endpoint needs its full name: package.Service/Method")
        }
        options.address = name
        return options
    }

    private static func texts(_ metadata: Metadata) -> [String: String] {
        var texts: [String: String] = [:]
        for entry in metadata {
            if case .text(let text) = entry.value { texts[entry.name] = text }
        }
        return texts
    }
}
