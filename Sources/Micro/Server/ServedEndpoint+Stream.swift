extension ServedEndpoint {
    /// A handler that answers one message with many.
    @inlinable
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
            endpoint, .stream, request: Reader.Message.self, reply: Writer.Message.self,
            timeout: timeout, execution, typed.format(of: .stream)
        ) { setup in
            let replyForm = setup.replyForm
            let message = try setup.message.withSpan { try typed.read($0, as: setup.readForm) }
            let out = setup.outbound { try typed.write($0, as: replyForm) }
            return { context in
                try await body(message, context, out)
                return nil
            }
        }
    }

    /// A handler that answers many messages with one.
    @inlinable
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
            endpoint, .collect, request: Reader.Message.self, reply: Writer.Message.self,
            timeout: timeout, execution, typed.format(of: .collect)
        ) { setup in
            let (readForm, replyForm) = (setup.readForm, setup.replyForm)
            let incoming = setup.inbound { try typed.read($0, as: readForm) }
            return { context in
                try typed.write(try await body(incoming, context), as: replyForm)
            }
        }
    }

    /// A handler that receives and sends many messages, at the same time.
    @inlinable
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
            endpoint, .exchange, request: Reader.Message.self, reply: Writer.Message.self,
            timeout: timeout, execution, typed.format(of: .exchange)
        ) { setup in
            let (readForm, replyForm) = (setup.readForm, setup.replyForm)
            let incoming = setup.inbound { try typed.read($0, as: readForm) }
            let out = setup.outbound { try typed.write($0, as: replyForm) }
            return { context in
                try await body(incoming, context, out)
                return nil
            }
        }
    }

    /// What a handler does once its stream is open; returns what it answers, beside what it sent.
    @usableFromInline
    typealias StreamWork = @Sendable (Context) async throws -> [UInt8]?

    /// - Parameter begin: Takes what is needed of the request, which is borrowed, opens the
    ///   directions of the stream, and says what to do with them.
    @usableFromInline
    static func streaming(
        _ endpoint: EndpointName, _ kind: CallKind, request: Any.Type, reply: Any.Type,
        timeout: Duration?, _ execution: AsyncExecution, _ format: MessageFormat,
        begin: @escaping @Sendable (StreamSetup) throws -> StreamWork
    ) -> ServedEndpoint {
        ServedEndpoint(
            endpoint, kind, request: request, reply: reply, timeout: timeout,
            forms: format.readNames
        ) { runtime in
            let origin = runtime.origin(of: endpoint.name)
            let telemetry = ServerTelemetry(service: runtime.service, endpoint: endpoint.name)
            return { call, request in
                let isGRPC = request.isGRPC
                let scope = CallScope(of: origin, request)
                scope.keep()
                let context = Context(scope: scope)
                let observation = telemetry.begin(context)
                let stream: ServedStream
                let work: StreamWork
                do {
                    let choice = try format.choose(request)
                    stream = ServedStream(call, context, choice.reply, isGRPC: isGRPC)
                    work = try begin(
                        StreamSetup(
                            stream: stream, message: request.body, readForm: choice.readForm,
                            replyForm: choice.reply.form))
                } catch {
                    let failure = context.failure(error)
                    observation.end(failure)
                    return call.answer(OutgoingAnswer(failure, isGRPC: isGRPC))
                }
                stream.start(on: runtime.executor(execution, of: call)) {
                    try await observation.answering(context) {
                        try await runtime.surround(context, work)
                    }
                }
            }
        }
    }
}

/// What a streaming call is made of before its handler starts. On the call's loop.
@usableFromInline
struct StreamSetup {
    let stream: ServedStream
    /// The request's message, when it is one.
    @usableFromInline let message: LentBytes
    /// The places of the forms in which messages are, and replies have to be written.
    @usableFromInline let readForm: Int
    @usableFromInline let replyForm: Int

    @usableFromInline
    func inbound<Message: Sendable>(
        _ decode: @escaping @Sendable (RawSpan) throws -> Message
    ) -> Inbound<Message> {
        stream.inbound(decode)
    }

    @usableFromInline
    func outbound<Message: Sendable>(
        _ encode: @escaping @Sendable (Message) throws -> [UInt8]
    ) -> Outbound<Message> {
        stream.outbound(encode)
    }
}
