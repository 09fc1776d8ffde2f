internal import ArgumentParser
internal import Micro

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// `microctl call NAME ENDPOINT JSON`
struct Call: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Calls an endpoint with a JSON message and prints the reply.",
        usage: "microctl call <name> <endpoint> [<message>] [<options>]",
        discussion: """
              microctl call greeter Greeter.Hello '{"name":"Ada"}'
              echo '{"name":"Ada"}' | microctl call greeter Greeter.Hello -
              microctl call greeter Greeter.Hello '{"name":"Ada"}' -H 'x-request-id: 7'
              microctl call unix:///run/greeter.sock greeter.Greeter/Hello '{"name":"Ada"}'

            An error of the service goes to standard error; the exit code is then 64 plus
            its gRPC code.
            """)

    @Argument(help: "The name of the service, or an address such as 127.0.0.1:8080.")
    var name: String

    @Argument(help: "The endpoint: Greeter.Hello; at an address in full: package.Service/Method.")
    var endpoint: String

    @Argument(help: "The message; \"-\" reads it from standard input.")
    var message: String = "{}"

    @Option(
        name: [.customShort("H"), .long],
        help: "Metadata, as \"name: value\"; base64 for names in -bin. May be repeated.")
    var header: [String] = []

    @Option(name: .long, help: "How long the call may take, in seconds.")
    var timeout: Double = 5

    @OptionGroup var registerOptions: RegisterOptions
    @OptionGroup var output: OutputOptions

    private struct Answer: Encodable {
        let node: String
        let attempts: Int
        let metadata: [String: [String]]
        let reply: JSONValue
    }

    func run() async throws {
        try await reportingErrors {
            let request = ClientRequest(
                service: name, endpoint: endpoint, body: try body(), options: try options())
            let response = try await registerOptions.use { register in
                let client = Client(resolver: RegisterResolver(register: register))
                return try await client.send(request)
            }
            guard output.json else { return printBytes(response.body) }
            try printJSON(
                Answer(
                    node: response.report.node, attempts: response.report.attempts,
                    metadata: Call.texts(response.metadata), reply: Call.tree(response.body)))
        }
    }

    private func body() throws -> [UInt8] {
        message == "-" ? try readStandardInput() : Array(message.utf8)
    }

    private func options() throws -> CallOptions {
        guard timeout > 0, timeout <= 86_400 else {
            throw ValidationError(
                "--timeout is \(timeout): it must be more than 0 and at most 86400")
        }
        var options = CallOptions(timeout: .nanoseconds(Int64(timeout * 1_000_000_000)))
        for line in header { try options.metadata.append(header: line) }
        // A colon can't be in the name of a service.
        guard name.contains(":") else { return options }
        guard endpoint.contains("/") else {
            throw ValidationError(
                "at an address the endpoint needs its full name: package.Service/Method")
        }
        options.address = name
        return options
    }

    private static func texts(_ metadata: Metadata) -> [String: [String]] {
        var texts: [String: [String]] = [:]
        for entry in metadata {
            let text =
                switch entry.value {
                case .text(let text): text
                case .bytes(let bytes): Data(bytes).base64EncodedString()
                }
            texts[entry.name, default: []].append(text)
        }
        return texts
    }

    /// The reply as it is; what isn't JSON as a string.
    private static func tree(_ body: [UInt8]) -> JSONValue {
        (try? JSONCodec().decode(JSONValue.self, from: body.span.bytes))
            ?? .string(String(decoding: body, as: UTF8.self))
    }
}

extension Metadata {
    /// Adds "name: value".
    fileprivate mutating func append(header line: String) throws {
        guard let colon = line.firstIndex(of: ":") else {
            throw ValidationError("--header \"\(line)\" has no colon: write \"name: value\"")
        }
        let name = String(line[..<colon])
        let value = String(line[line.index(after: colon)...].drop { $0 == " " })
        guard name.lowercased().hasSuffix("-bin") else { return append(name, value) }
        guard let bytes = Data(base64Encoded: value) else {
            throw ValidationError("--header \"\(line)\": a value of a -bin name must be base64")
        }
        append(name, bytes: Array(bytes))
    }
}
