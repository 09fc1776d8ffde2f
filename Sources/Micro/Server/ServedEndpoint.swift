internal import CoreMetrics
internal import Logging
internal import Tracing

/// An endpoint as it was recorded: what it is called, what its messages are, and how it is served.
public struct ServedEndpoint: Sendable {
    /// "Service.Method", or in full "package.Service/Method".
    public let name: String
    /// The service that a typed endpoint names; nil: any.
    let service: String?
    let kind: CallKind
    let requestType: String
    let replyType: String
    let timeout: Duration?
    let makeHandler: @Sendable (ServerRuntime) -> RouteTable.Handler

    init(
        _ endpoint: EndpointName, _ kind: CallKind, request: Any.Type, reply: Any.Type,
        timeout: Duration?,
        makeHandler: @escaping @Sendable (ServerRuntime) -> RouteTable.Handler
    ) {
        self.name = endpoint.name
        self.service = endpoint.service
        self.kind = kind
        self.requestType = "\(request)"
        self.replyType = "\(reply)"
        self.timeout = timeout
        self.makeHandler = makeHandler
    }
}

/// What an endpoint is called, and the service that has to be the one that serves it.
public struct EndpointName: Sendable, ExpressibleByStringLiteral {
    let service: String?
    let name: String

    /// - Parameter name: "Service.Method", or in full "package.Service/Method".
    public init(_ name: String) {
        self.service = nil
        self.name = name
    }

    /// As the other one.
    public init(stringLiteral name: String) { self.init(name) }

    /// The name of a typed endpoint: its service must be the one that serves it.
    public init<Request, Reply>(_ endpoint: Endpoint<Request, Reply>) {
        self.service = endpoint.service
        self.name = endpoint.name
    }
}

/// What the handlers of a running server share.
struct ServerRuntime: Sendable {
    let service: String
    let environment: Environment
    let logger: Logger
    let client: LentClient
    let hooks: [ServerHook]
    let compression: Compression

    func context(_ endpoint: String, _ request: borrowing IncomingRequest) -> Context {
        Context(
            scope: CallScope(
                service: service, endpoint: endpoint, metadata: request.metadata,
                deadline: request.deadline, peer: request.peer,
                peerIdentity: request.peerIdentity, environment: environment, logger: logger,
                client: client, requestWasCompressed: request.wasCompressed,
                compression: compression))
    }

    /// Where the task of a call runs; nil: on the process's pool.
    func executor(_ execution: AsyncExecution, of call: ServerCall) -> (any TaskExecutor)? {
        let loops = environment.loops
        // A simulation has one thread only.
        return execution == .concurrent && !loops.isSimulated
            ? nil : loops.executor(startingOn: call.loop)
    }

    /// Runs `handler` inside the hooks, the first outermost.
    func run(
        _ context: Context, _ handler: @escaping @Sendable (Context) async throws -> Void
    ) async throws {
        var next = handler
        for hook in hooks.reversed() {
            let inner = next
            next = { try await hook($0, inner) }
        }
        try await next(context)
    }
}

extension ServedEndpoint {
    /// A handler that does not suspend.
    public static func synchronous<Reader: MessageReading, Writer: MessageWriting>(
        _ endpoint: EndpointName, timeout: Duration? = nil, execution: SyncExecution = .inline,
        reading reader: Reader, writing writer: Writer,
        _ body: @escaping @Sendable (Reader.Message, Context) throws -> Writer.Message
    ) -> ServedEndpoint {
        switch execution {
        case .inline:
            direct(endpoint, timeout: timeout, reading: reader, writing: writer, body)
        case .concurrent:
            asynchronous(
                endpoint, timeout: timeout, execution: .concurrent, reading: reader,
                writing: writer
            ) { try body($0, $1) }
        }
    }

    /// A handler that runs in place, on the loop, with borrowed bytes. With hooks it is a task.
    public static func direct<Reader: MessageReading, Writer: MessageWriting>(
        _ endpoint: EndpointName, timeout: Duration? = nil,
        reading reader: Reader, writing writer: Writer,
        _ body: @escaping @Sendable (Reader.Message, Context) throws -> Writer.Message
    ) -> ServedEndpoint {
        let format = MessageFormat(reading: reader, writing: writer, kind: .unary)
        return ServedEndpoint(
            endpoint, .unary, request: Reader.Message.self, reply: Writer.Message.self,
            timeout: timeout
        ) { runtime in
            let name = endpoint.name
            if !runtime.hooks.isEmpty {
                return task(name, format, runtime, .loop) { try body($0, $1) }
            }
            let telemetry = ServerTelemetry(service: runtime.service, endpoint: name)
            return { call, request in
                let context = runtime.context(name, request)
                let observation = telemetry.begin(context)
                var answer: OutgoingAnswer
                do {
                    let (message, replyFormat) = try format.decode(request)
                    let reply = try observation.run {
                        try runtime.inEnvironment { try body(message, context) }
                    }
                    answer = try replyFormat.answer(reply)
                    observation.end(nil)
                } catch {
                    let failure = context.failure(error)
                    answer = OutgoingAnswer(failure, isGRPC: request.isGRPC)
                    observation.end(failure)
                }
                answer.take(context)
                call.answer(answer)
            }
        }
    }

    /// A handler that runs as a task.
    public static func asynchronous<Reader: MessageReading, Writer: MessageWriting>(
        _ endpoint: EndpointName, timeout: Duration? = nil, execution: AsyncExecution = .loop,
        reading reader: Reader, writing writer: Writer,
        _ body: @escaping @Sendable (Reader.Message, Context) async throws -> Writer.Message
    ) -> ServedEndpoint {
        let format = MessageFormat(reading: reader, writing: writer, kind: .unary)
        return ServedEndpoint(
            endpoint, .unary, request: Reader.Message.self, reply: Writer.Message.self,
            timeout: timeout
        ) { runtime in
            task(endpoint.name, format, runtime, execution, body)
        }
    }

    private static func task<Reader: MessageReading, Writer: MessageWriting>(
        _ name: String, _ format: MessageFormat<Reader, Writer>, _ runtime: ServerRuntime,
        _ execution: AsyncExecution,
        _ body: @escaping @Sendable (Reader.Message, Context) async throws -> Writer.Message
    ) -> RouteTable.Handler {
        let telemetry = ServerTelemetry(service: runtime.service, endpoint: name)
        return { call, request in
            let isGRPC = request.isGRPC
            let context = runtime.context(name, request)
            let observation = telemetry.begin(context)
            let message: Reader.Message
            let replyFormat: ReplyFormat<Writer>
            do {
                // Decoded here, while the bytes are there to be borrowed.
                (message, replyFormat) = try format.decode(request)
            } catch {
                return refuse(call, error, context, observation, isGRPC: isGRPC)
            }
            ServedCall(call, isGRPC: isGRPC).start(
                on: runtime.executor(execution, of: call), context
            ) {
                try await observation.answering(context) {
                    try replyFormat.answer(
                        try await runtime.reply(to: message, context, body))
                }
            }
        }
    }

    static func refuse(
        _ call: ServerCall, _ error: any Error, _ context: Context, _ observation: CallObservation,
        isGRPC: Bool
    ) {
        let failure = context.failure(error)
        observation.end(failure)
        call.answer(OutgoingAnswer(failure, isGRPC: isGRPC))
    }
}

extension CallObservation {
    /// Runs a handler as a part of the call's trace, and notes how it ended.
    func answering<T>(_ context: Context, _ body: () async throws -> T) async throws -> T {
        do {
            let answer = try await run(body)
            end(nil)
            return answer
        } catch {
            let failure = context.failure(error)
            end(failure)
            throw failure
        }
    }
}

extension ServerRuntime {
    func reply<Request: Sendable, Reply: Sendable>(
        to message: Request, _ context: Context,
        _ body: @escaping @Sendable (Request, Context) async throws -> Reply
    ) async throws -> Reply {
        guard !hooks.isEmpty else {
            return try await inEnvironment { try await body(message, context) }
        }
        let slot = ReplySlot<Reply>()
        try await run(context) { context in
            slot.set(try await inEnvironment { try await body(message, context) })
        }
        guard let reply = slot.take() else {
            throw MicroError(
                context.endpoint, .internal, "a hook ended the call without an error and an answer")
        }
        return reply
    }

    /// In a simulation what the handler starts must be simulated too.
    private func inEnvironment<T>(_ body: () async throws -> T) async rethrows -> T {
        environment.isSimulated ? try await environment.bind(body) : try await body()
    }

    fileprivate func inEnvironment<T>(_ body: () throws -> T) rethrows -> T {
        environment.isSimulated ? try environment.bind(body) : try body()
    }
}
