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
        let typed = TypedFormat(reading: reader, writing: writer)
        return streaming(
            endpoint, .stream, timeout, execution, typed,
            prepare: { request, form in
                try request.body.withSpan { try typed.read($0, as: form) }
            },
            begin: { message, choice, stream in
                let out = stream.outbound { try typed.write($0, as: choice.reply.form) }
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
        let typed = TypedFormat(reading: reader, writing: writer)
        return streaming(
            endpoint, .collect, timeout, execution, typed,
            prepare: { _, _ in },
            begin: { _, choice, stream in
                let incoming = stream.inbound { try typed.read($0, as: choice.readForm) }
                return { runtime, context in
                    let reply = try await runtime.reply(to: incoming, context, body)
                    var answer = OutgoingAnswer()
                    answer.body = try typed.write(reply, as: choice.reply.form)
                    answer.contentType = choice.reply.contentType
                    return answer
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
        let typed = TypedFormat(reading: reader, writing: writer)
        return streaming(
            endpoint, .exchange, timeout, execution, typed,
            prepare: { _, _ in },
            begin: { _, choice, stream in
                let incoming = stream.inbound { try typed.read($0, as: choice.readForm) }
                let out = stream.outbound { try typed.write($0, as: choice.reply.form) }
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
        _ execution: AsyncExecution, _ typed: TypedFormat<Reader, Writer>,
        prepare: @escaping @Sendable (borrowing IncomingRequest, Int) throws -> Start,
        begin: @escaping @Sendable (Start, MessageChoice, ServedStream) -> Work
    ) -> ServedEndpoint {
        let format = typed.format(of: kind)
        return ServedEndpoint(
            endpoint, kind, request: Reader.Message.self, reply: Writer.Message.self,
            timeout: timeout
        ) { runtime in
            let origin = runtime.origin(of: endpoint.name)
            let telemetry = ServerTelemetry(service: runtime.service, endpoint: endpoint.name)
            return { call, request in
                let isGRPC = request.isGRPC
                let scope = CallScope(of: origin, request)
                scope.keep()
                let context = Context(scope: scope)
                let observation = telemetry.begin(context)
                let start: Start
                let choice: MessageChoice
                do {
                    choice = try format.choose(request)
                    start = try prepare(request, choice.readForm)
                } catch {
                    let failure = context.failure(error)
                    observation.end(failure)
                    return call.answer(OutgoingAnswer(failure, isGRPC: isGRPC))
                }
                let stream = ServedStream(call, context, head: choice.reply.head, isGRPC: isGRPC)
                let work = begin(start, choice, stream)
                stream.start(on: runtime.executor(execution, of: call)) {
                    try await observation.answering(context) { try await work(runtime, context) }
                }
            }
        }
    }
}
