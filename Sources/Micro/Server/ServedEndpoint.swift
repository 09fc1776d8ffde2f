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
    /// The names of the forms in which a request may be.
    let forms: [String]
    let makeHandler: @Sendable (ServerRuntime) -> HandlerTable.Handler

    init(
        _ endpoint: EndpointName, _ kind: CallKind, request: Any.Type, reply: Any.Type,
        timeout: Duration?, forms: [String],
        makeHandler: @escaping @Sendable (ServerRuntime) -> HandlerTable.Handler
    ) {
        self.name = endpoint.name
        self.service = endpoint.service
        self.kind = kind
        self.requestType = "\(request)"
        self.replyType = "\(reply)"
        self.timeout = timeout
        self.forms = forms
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

    func origin(of endpoint: String) -> CallOrigin {
        CallOrigin(
            service: service, endpoint: endpoint, environment: environment, logger: logger,
            client: client, compression: compression)
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
    @inlinable
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
    @inlinable
    public static func direct<Reader: MessageReading, Writer: MessageWriting>(
        _ endpoint: EndpointName, timeout: Duration? = nil,
        reading reader: Reader, writing writer: Writer,
        _ body: @escaping @Sendable (Reader.Message, Context) throws -> Writer.Message
    ) -> ServedEndpoint {
        let typed = TypedFormat(reading: reader, writing: writer)
        return inPlace(
            endpoint, request: Reader.Message.self, reply: Writer.Message.self, timeout: timeout,
            typed.format(of: .unary)
        ) { bytes, readForm, replyForm, context, reply in
            let message = try typed.read(bytes, as: readForm)
            try typed.write(try body(message, context), as: replyForm, into: &reply)
        }
    }

    /// A handler that runs as a task.
    @inlinable
    public static func asynchronous<Reader: MessageReading, Writer: MessageWriting>(
        _ endpoint: EndpointName, timeout: Duration? = nil, execution: AsyncExecution = .loop,
        reading reader: Reader, writing writer: Writer,
        _ body: @escaping @Sendable (Reader.Message, Context) async throws -> Writer.Message
    ) -> ServedEndpoint {
        let typed = TypedFormat(reading: reader, writing: writer)
        return task(
            endpoint, request: Reader.Message.self, reply: Writer.Message.self, timeout: timeout,
            typed.format(of: .unary), execution
        ) { call, context in
            let message = try call.read { try typed.read($0, as: $1) }
            return try typed.write(try await body(message, context), as: call.replyForm)
        }
    }

    @usableFromInline
    static func task(
        _ endpoint: EndpointName, request: Any.Type, reply: Any.Type, timeout: Duration?,
        _ format: MessageFormat, _ execution: AsyncExecution,
        _ work: @escaping @Sendable (ServedCall, Context) async throws -> [UInt8]
    ) -> ServedEndpoint {
        ServedEndpoint(
            endpoint, .unary, request: request, reply: reply, timeout: timeout,
            forms: format.readNames
        ) { runtime in
            let unary = ServedUnary(endpoint.name, format, execution, runtime, work)
            return { call, request in unary.serve(call, request) }
        }
    }

    /// What a handler does that runs in place: with the message, the places of the forms in which
    /// it is and the reply has to be written, and where that goes.
    @usableFromInline
    typealias WorkInPlace =
        @Sendable (RawSpan, Int, Int, Context, inout MessageWriter) throws -> Void

    @usableFromInline
    static func inPlace(
        _ endpoint: EndpointName, request: Any.Type, reply: Any.Type, timeout: Duration?,
        _ format: MessageFormat, _ work: @escaping WorkInPlace
    ) -> ServedEndpoint {
        ServedEndpoint(
            endpoint, .unary, request: request, reply: reply, timeout: timeout,
            forms: format.readNames
        ) { runtime in
            guard runtime.hooks.isEmpty else {
                let unary = ServedUnary(endpoint.name, format, .loop, runtime) { call, context in
                    let replyForm = call.replyForm
                    var reply = MessageWriter()
                    try call.read { try work($0, $1, replyForm, context, &reply) }
                    return reply.bytes
                }
                return { call, request in unary.serve(call, request) }
            }
            let direct = ServedDirect(endpoint.name, format, runtime, work)
            return { call, request in direct.serve(call, request) }
        }
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
    /// Runs a handler with the hooks around it.
    func surround<Answer: Sendable>(
        _ context: Context, _ work: @escaping @Sendable (Context) async throws -> Answer
    ) async throws -> Answer {
        guard !hooks.isEmpty else { return try await inEnvironment { try await work(context) } }
        let slot = ReplySlot<Answer>()
        try await run(context) { context in
            slot.set(try await inEnvironment { try await work(context) })
        }
        guard let answer = slot.take() else {
            throw MicroError(
                context.endpoint, .internal, "a hook ended the call without an error and an answer")
        }
        return answer
    }

    /// In a simulation what the handler starts must be simulated too.
    func inEnvironment<T>(_ body: () async throws -> T) async rethrows -> T {
        environment.isSimulated ? try await environment.bind(body) : try await body()
    }

    func inEnvironment<T>(_ body: () throws -> T) rethrows -> T {
        environment.isSimulated ? try environment.bind(body) : try body()
    }
}

extension Context {
    /// What the caller is told about `error`; what only the operator may know goes to the log.
    func failure(_ error: any Error) -> MicroError {
        if let error = error as? MicroError { return error }
        let failure = MicroError(error, id: endpoint)
        if failure.code == .internal {
            logger.error("handler failed", metadata: ["error": "\(error)"])
        }
        return failure
    }
}
