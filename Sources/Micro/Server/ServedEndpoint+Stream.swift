extension ServedEndpoint {
    /// A handler that answers one message with many.
    public static func stream<Reader: MessageReading, Writer: MessageWriting>(
        _ endpoint: EndpointName, timeout: Duration? = nil, execution: AsyncExecution = .loop,
        reading reader: Reader, writing writer: Writer,
        _ body:
            @escaping @Sendable (
                Reader.Message, Context, Outbound<Writer.Message>
            ) async throws -> Void
    ) -> ServedEndpoint {
        let format = MessageFormat(reading: reader, writing: writer, kind: .stream)
        return streaming(
            endpoint, .stream, timeout, execution, format,
            prepare: { request in try format.decode(request) },
            begin: { message, replyFormat, stream in
                let out = stream.outbound(replyFormat.write)
                return { runtime, context in
                    try await runtime.reply(to: message, context) { try await body($0, $1, out) }
                    return OutgoingAnswer()
                }
            })
    }

    /// A handler that answers many messages with one.
    public static func collect<Reader: MessageReading, Writer: MessageWriting>(
        _ endpoint: EndpointName, timeout: Duration? = nil, execution: AsyncExecution = .loop,
        reading reader: Reader, writing writer: Writer,
        _ body:
            @escaping @Sendable (
                Inbound<Reader.Message>, Context
            ) async throws -> Writer.Message
    ) -> ServedEndpoint {
        let format = MessageFormat(reading: reader, writing: writer, kind: .collect)
        return streaming(
            endpoint, .collect, timeout, execution, format,
            prepare: { request in try format.choose(request) },
            begin: { form, replyFormat, stream in
                let incoming = stream.inbound { try format.read($0, as: form) }
                return { runtime, context in
                    try replyFormat.answer(
                        try await runtime.reply(to: incoming, context, body))
                }
            })
    }

    /// A handler that receives and sends many messages, at the same time.
    public static func exchange<Reader: MessageReading, Writer: MessageWriting>(
        _ endpoint: EndpointName, timeout: Duration? = nil, execution: AsyncExecution = .loop,
        reading reader: Reader, writing writer: Writer,
        _ body:
            @escaping @Sendable (
                Inbound<Reader.Message>, Context, Outbound<Writer.Message>
            ) async throws -> Void
    ) -> ServedEndpoint {
        let format = MessageFormat(reading: reader, writing: writer, kind: .exchange)
        return streaming(
            endpoint, .exchange, timeout, execution, format,
            prepare: { request in try format.choose(request) },
            begin: { form, replyFormat, stream in
                let incoming = stream.inbound { try format.read($0, as: form) }
                let out = stream.outbound(replyFormat.write)
                return { runtime, context in
                    try await runtime.reply(to: incoming, context) { try await body($0, $1, out) }
                    return OutgoingAnswer()
                }
            })
    }

    /// What a handler does once its stream is open.
    private typealias Work = @Sendable (ServerRuntime, Context) async throws -> OutgoingAnswer

    /// - Parameters:
    ///   - prepare: Takes what is needed of the request, which is borrowed.
    ///   - begin: Opens the directions of the stream, and says what to do with them.
    private static func streaming<Reader: MessageReading, Writer: MessageWriting, Start: Sendable>(
        _ endpoint: EndpointName, _ kind: CallKind, _ timeout: Duration?,
        _ execution: AsyncExecution, _ format: MessageFormat<Reader, Writer>,
        prepare:
            @escaping @Sendable (
                borrowing IncomingRequest
            ) throws -> (Start, ReplyFormat<Writer>),
        begin: @escaping @Sendable (Start, ReplyFormat<Writer>, ServedStream) -> Work
    ) -> ServedEndpoint {
        ServedEndpoint(
            endpoint, kind, request: Reader.Message.self, reply: Writer.Message.self,
            timeout: timeout
        ) { runtime in
            let telemetry = ServerTelemetry(service: runtime.service, endpoint: endpoint.name)
            return { call, request in
                let isGRPC = request.isGRPC
                let context = runtime.context(endpoint.name, request)
                let observation = telemetry.begin(context)
                let start: Start
                let replyFormat: ReplyFormat<Writer>
                do {
                    (start, replyFormat) = try prepare(request)
                } catch {
                    return refuse(call, error, context, observation, isGRPC: isGRPC)
                }
                let stream = ServedStream(call, context, head: replyFormat.head, isGRPC: isGRPC)
                let work = begin(start, replyFormat, stream)
                stream.start(on: runtime.executor(execution, of: call)) {
                    try await observation.answering(context) { try await work(runtime, context) }
                }
            }
        }
    }
}
