/// The calls of one endpoint whose handler runs in place.
final class ServedDirect: @unchecked Sendable {  // what changes is one for each loop
    private let origin: CallOrigin
    private let format: MessageFormat
    private let telemetry: ServerTelemetry
    private let runtime: ServerRuntime
    private let work: ServedEndpoint.WorkInPlace
    private let places: [Place]
    /// Whether nothing surrounds the handler.
    private let isPlain: Bool

    /// The scope of the last call on a loop, for the next one.
    private final class Place {
        var scope: CallScope?
        private var reply: MessageWriter? = MessageWriter()

        /// Where the next reply goes.
        func takeReply() -> MessageWriter { reply.take() ?? MessageWriter() }

        /// Keeps the memory of a reply that was sent.
        func giveBack(_ sent: consuming MessageWriter) {
            sent.reset(keeping: Place.keptBytes)
            reply = consume sent
        }

        private static let keptBytes = 64 << 10
    }

    init(
        _ endpoint: String, _ format: MessageFormat, _ runtime: ServerRuntime,
        _ work: @escaping ServedEndpoint.WorkInPlace
    ) {
        self.origin = runtime.origin(of: endpoint)
        self.format = format
        self.telemetry = ServerTelemetry(service: runtime.service, endpoint: endpoint)
        self.runtime = runtime
        self.work = work
        self.places = (0..<runtime.environment.loops.count).map { _ in Place() }
        self.isPlain = !telemetry.isEnabled && !runtime.environment.isSimulated
    }

    func serve(_ call: ServerCall, _ request: borrowing IncomingRequest) {
        let place = places[call.loop.index]
        var scope = takeScope(of: place, for: request)
        var reply = place.takeReply()
        do {
            let format = try attempt(scope, request, &reply)
            let isFree = release(&scope)
            call.answer(reply.bytes, format, scope)
            place.giveBack(reply)
            if isFree { place.scope = scope }
        } catch {
            _ = release(&scope)
            call.answer(error, isGRPC: request.isGRPC, scope)
        }
    }

    /// Whether nobody has kept the scope. A handler that has kept its context may ask it later.
    private func release(_ scope: inout CallScope) -> Bool {
        if isKnownUniquelyReferenced(&scope) { return true }
        scope.keep()
        return false
    }

    private func takeScope(of place: Place, for request: borrowing IncomingRequest) -> CallScope {
        guard let scope = place.scope.take() else { return CallScope(of: origin, request) }
        scope.reuse(for: request)
        return scope
    }

    /// A function of its own, so that nothing of it holds on to the scope when it has returned.
    @inline(never)
    private func attempt(
        _ scope: CallScope, _ request: borrowing IncomingRequest, _ reply: inout MessageWriter
    ) throws(MicroError) -> ReplyFormat {
        let context = Context(scope: scope)
        guard isPlain else { return try observedAttempt(context, request, &reply) }
        do {
            return try answer(context, request, &reply)
        } catch {
            throw context.failure(error)
        }
    }

    private func answer(
        _ context: Context, _ request: borrowing IncomingRequest, _ reply: inout MessageWriter
    ) throws -> ReplyFormat {
        let choice = try format.choose(request)
        try request.body.withSpan {
            try work($0, choice.readForm, choice.reply.form, context, &reply)
        }
        return choice.reply
    }

    /// The same with what surrounds it.
    private func observedAttempt(
        _ context: Context, _ request: borrowing IncomingRequest, _ reply: inout MessageWriter
    ) throws(MicroError) -> ReplyFormat {
        let observation = telemetry.begin(context)
        do {
            let choice = try format.choose(request)
            let (body, readForm, replyForm) = (request.body, choice.readForm, choice.reply.form)
            try observation.run {
                try runtime.inEnvironment {
                    try body.withSpan { try work($0, readForm, replyForm, context, &reply) }
                }
            }
            observation.end(nil)
            return choice.reply
        } catch {
            let failure = context.failure(error)
            observation.end(failure)
            throw failure
        }
    }
}
