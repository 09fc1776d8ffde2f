internal import Micro
internal import MicroReflection

/// A call of a method whose messages are known by reflection.
struct ReflectedCall: Sendable {
    let client: Client
    let service: String
    let endpoint: String
    let method: ServiceDescriptor.Method
    let messages: ReflectedMessages
    var options: CallOptions

    var isStreaming: Bool { method.streamsRequests || method.streamsReplies }

    /// One message, and the one that answers it.
    func respond(
        to json: [UInt8]
    ) async throws -> (reply: JSONValue, metadata: Metadata, report: CallReport) {
        let response = try await client.response(
            service, endpoint, try await encode(json), writing: BytesCoding(),
            reading: BytesCoding(), options: options)
        let reply = try await messages.decode(response.reply, as: method.output)
        return (reply, response.metadata, response.report)
    }

    /// Sends the lines of `json`, or of standard input as they come, and shows each reply.
    func stream(
        _ json: [UInt8]?, _ show: @escaping @Sendable (JSONValue) throws -> Void
    ) async throws {
        try await client.exchange(
            service, endpoint, writing: BytesCoding(), reading: BytesCoding(), options: options
        ) { out, replies in
            let failures = AsyncThrowingStream<Never, any Error>.makeStream()
            // Not waited for: nothing wakes who reads a terminal, and the end of the replies is
            // the end of the call.
            let sender = Task {
                do {
                    try await send(json, to: out)
                } catch {
                    failures.continuation.finish(throwing: error)
                }
            }
            defer { sender.cancel() }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { for try await _ in failures.stream {} }
                group.addTask {
                    for try await reply in replies {
                        try show(try await messages.decode(reply, as: method.output))
                    }
                    failures.continuation.finish()
                }
                defer { group.cancelAll() }
                for try await _ in group {}
            }
        }
    }

    private func send(_ json: [UInt8]?, to out: Outbound<[UInt8]>) async throws {
        let input = StandardInput()
        if !method.streamsRequests {
            // It may well be written over several lines.
            try await send(one: try json ?? input.readAll(), to: out)
        } else if let json {
            for line in json.split(separator: UInt8(ascii: "\n")) {
                try await send(one: Array(line), to: out)
            }
        } else {
            while let line = try await input.line() {
                if line.contains(where: { $0 > UInt8(ascii: " ") }) {
                    try await send(one: line, to: out)
                }
            }
        }
        try? await out.finish()
    }

    private func send(one json: [UInt8], to out: Outbound<[UInt8]>) async throws {
        let message = try await encode(json)
        do {
            try await out.send(message)
        } catch {
            // Whoever waits for the replies is told why nothing can be sent any more.
        }
    }

    private func encode(_ json: [UInt8]) async throws -> [UInt8] {
        let value = try JSONCodec().decode(JSONValue.self, from: json.span.bytes)
        return try await messages.encode(value, as: method.input)
    }
}
