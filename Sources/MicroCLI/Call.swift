internal import ArgumentParser
internal import Micro
internal import MicroReflection

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// `microctl call NAME ENDPOINT JSON`
struct Call: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Calls an endpoint with a JSON message.",
        usage: "microctl call <name> <endpoint> [<message>] [<options>]",
        discussion: """
              microctl call greeter Greeter.Hello '{"name":"Ada"}'
              echo '{"name":"Ada"}' | microctl call greeter Greeter.Hello -
              microctl call greeter Greeter.Hello '{"name":"Ada"}' -H 'x-request-id: 7'
              microctl call 127.0.0.1:50051 shop.Cart/Add '{"item":"pear"}'

            A server at an address is asked for its messages by gRPC reflection, and called
            with protobuf when it describes the endpoint, so that any gRPC server can be
            called; otherwise it is called with JSON. Many replies come as a line of JSON
            each; many requests are taken as a line of JSON each.

            An error of the service goes to standard error; the exit code is then 64 plus
            its gRPC code.
            """)

    @Argument(help: "The name of the service, or an address such as 127.0.0.1:8080.")
    var name: String

    @Argument(help: "The endpoint: Greeter.Hello; at an address in full: package.Service/Method.")
    var endpoint: String

    @Argument(help: "The message; \"-\" reads it from standard input.")
    var message: String = "{}"

    @OptionGroup var headers: HeaderOptions

    @Option(
        name: .long,
        help: "How long the call may take, in seconds. Default: 5, for many messages for ever.")
    var timeout: Double?

    @Flag(
        inversion: .prefixedNo,
        help: "Insist on protobuf by reflection, or on JSON. Default: as the address allows.")
    var reflect: Bool?

    @OptionGroup var registerOptions: RegisterOptions
    @OptionGroup var output: OutputOptions

    private struct Answer: Encodable {
        let node: String
        let attempts: Int
        let metadata: [String: [String]]
        let reply: JSONValue
    }

    func run() async throws {
        let options = try options()
        try await reportingErrors {
            try await registerOptions.useClient { client in
                if let call = try await reflected(client, options) {
                    return try await run(call)
                }
                let request = ClientRequest(
                    service: name, endpoint: endpoint, body: try body(), options: options)
                let response = try await client.send(request)
                guard output.json else { return printBytes(response.body) }
                try print(
                    Call.tree(response.body), metadata: response.metadata, response.report)
            }
        }
    }

    private func body() throws -> [UInt8] {
        guard message == "-" else { return Array(message.utf8) }
        return try StandardInput().readAll()
    }

    private func options() throws -> CallOptions {
        var options = CallOptions(timeout: try duration("--timeout", timeout ?? 5))
        options.metadata = try headers.metadata()
        guard isAddress(name) || reflect == true else { return options }
        guard endpoint.contains("/") else {
            throw ValidationError(
                "\(isAddress(name) ? "at an address" : "with --reflect") the endpoint needs its "
                    + "full name: package.Service/Method")
        }
        if isAddress(name) { options.address = name }
        return options
    }

    // MARK: By reflection

    /// Nil when the endpoint has to be called with JSON.
    private func reflected(_ client: Client, _ options: CallOptions) async throws -> ReflectedCall?
    {
        guard reflect ?? isAddress(name) else { return nil }
        do {
            let reflection = ReflectionClient(client, name, options: options)
            let service = String(endpoint.prefix { $0 != "/" })
            let messages = try await ReflectedMessages(of: service, reflection)
            var call = ReflectedCall(
                client: client, service: name, endpoint: endpoint,
                method: try await messages.method(endpoint), messages: messages, options: options)
            if call.isStreaming, timeout == nil { call.options.timeout = nil }
            return call
        } catch let error as MicroError {
            let isGone = error.code == .unavailable || error.code == .deadlineExceeded
            guard reflect == nil, !isGone else { throw error }
            return nil
        }
    }

    private func run(_ call: ReflectedCall) async throws {
        if !call.isStreaming {
            let response = try await call.respond(to: try body())
            guard !output.json else {
                return try print(
                    response.reply, metadata: response.metadata, response.report)
            }
            return try printJSON(response.reply)
        }
        try await call.stream(message == "-" ? nil : Array(message.utf8)) { try printJSON($0) }
    }

    private func print(_ reply: JSONValue, metadata: Metadata, _ report: CallReport) throws {
        try printJSON(
            Answer(
                node: report.node, attempts: report.attempts, metadata: Call.texts(metadata),
                reply: reply))
    }

    static func texts(_ metadata: Metadata) -> [String: [String]] {
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
    static func tree(_ body: [UInt8]) -> JSONValue {
        (try? JSONCodec().decode(JSONValue.self, from: body.span.bytes))
            ?? .string(String(decoding: body, as: UTF8.self))
    }
}
