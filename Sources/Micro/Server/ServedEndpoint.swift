internal import CoreMetrics
internal import Logging
internal import Tracing

/// An endpoint as it was recorded: what it is called, what its messages are, and how to make the
/// handler that the routes call.
struct ServedEndpoint: Sendable {
    let name: String
    let requestType: String
    let replyType: String
    let timeout: Duration?
    let makeHandler: @Sendable (ServerRuntime) -> RouteTable.Handler
}

/// What the handlers of a running server share.
struct ServerRuntime: Sendable {
    let service: String
    let environment: Environment
    let logger: Logger
    let client: LentClient
    let hooks: [ServerHook]

    func context(_ endpoint: String, _ request: borrowing IncomingRequest) -> Context {
        Context(
            scope: CallScope(
                service: service, endpoint: endpoint, metadata: request.metadata,
                deadline: request.deadline, peer: request.peer, environment: environment,
                logger: logger, client: client))
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
    /// A handler that runs in place, on the loop, with borrowed bytes. With hooks it is a task.
    static func direct<Request: Decodable & Sendable, Reply: Encodable & Sendable>(
        _ name: String, timeout: Duration?, codecs: Codecs,
        _ body: @escaping @Sendable (Request, Context) throws -> Reply
    ) -> ServedEndpoint {
        let format = MessageFormat<Request, Reply>(codecs: codecs)
        return ServedEndpoint(name, Request.self, Reply.self, timeout) { runtime in
            if !runtime.hooks.isEmpty {
                return asynchronous(name, format, runtime, .loop) { try body($0, $1) }
            }
            let telemetry = ServerTelemetry(service: runtime.service, endpoint: name)
            return { call, request in
                let isGRPC = request.isGRPC
                let context = runtime.context(name, request)
                let observation = telemetry.begin(context)
                do {
                    let (message, replyFormat) = try format.decode(request)
                    let reply = try observation.run {
                        try runtime.inEnvironment { try body(message, context) }
                    }
                    var answer = try replyFormat.encode(reply)
                    answer.metadata = context.replyMetadata
                    observation.end(nil)
                    call.answer(answer)
                } catch {
                    let failure = context.failure(error)
                    var answer = OutgoingAnswer(failure, isGRPC: isGRPC)
                    answer.metadata = context.replyMetadata
                    observation.end(failure)
                    call.answer(answer)
                }
            }
        }
    }

    /// A handler that runs as a task.
    static func asynchronous<Request: Decodable & Sendable, Reply: Encodable & Sendable>(
        _ name: String, timeout: Duration?, codecs: Codecs, execution: AsyncExecution,
        _ body: @escaping @Sendable (Request, Context) async throws -> Reply
    ) -> ServedEndpoint {
        let format = MessageFormat<Request, Reply>(codecs: codecs)
        return ServedEndpoint(name, Request.self, Reply.self, timeout) { runtime in
            asynchronous(name, format, runtime, execution, body)
        }
    }

    private static func asynchronous<Request: Decodable & Sendable, Reply: Encodable & Sendable>(
        _ name: String, _ format: MessageFormat<Request, Reply>, _ runtime: ServerRuntime,
        _ execution: AsyncExecution,
        _ body: @escaping @Sendable (Request, Context) async throws -> Reply
    ) -> RouteTable.Handler {
        let telemetry = ServerTelemetry(service: runtime.service, endpoint: name)
        let loops = runtime.environment.loops
        return { call, request in
            let isGRPC = request.isGRPC
            let context = runtime.context(name, request)
            let observation = telemetry.begin(context)
            let message: Request
            let replyFormat: ReplyFormat
            do {
                // Decoded here, while the bytes are there to be borrowed.
                (message, replyFormat) = try format.decode(request)
            } catch {
                let failure = context.failure(error)
                observation.end(failure)
                return call.answer(OutgoingAnswer(failure, isGRPC: isGRPC))
            }
            // A simulation has one thread only.
            let executor: (any TaskExecutor)? =
                execution == .concurrent && !loops.isSimulated
                ? nil : loops.executor(startingOn: call.loop)
            ServedCall(call, isGRPC: isGRPC).start(on: executor, context) {
                do {
                    let reply = try await observation.run {
                        try await runtime.reply(to: message, context, body)
                    }
                    let answer = try replyFormat.encode(reply)
                    observation.end(nil)
                    return answer
                } catch {
                    let failure = context.failure(error)
                    observation.end(failure)
                    throw failure
                }
            }
        }
    }

    private init(
        _ name: String, _ request: Any.Type, _ reply: Any.Type, _ timeout: Duration?,
        _ makeHandler: @escaping @Sendable (ServerRuntime) -> RouteTable.Handler
    ) {
        self.init(
            name: name, requestType: "\(request)", replyType: "\(reply)", timeout: timeout,
            makeHandler: makeHandler)
    }
}

extension ServerRuntime {
    fileprivate func reply<Request: Sendable, Reply: Sendable>(
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
