/// The calls of one endpoint whose handler runs in place.
final class ServedDirect: @unchecked Sendable {  // what changes is one for each loop
    private let origin: CallOrigin
    private let format: MessageFormat
    private let telemetry: ServerTelemetry
    private let runtime: ServerRuntime
    private let work: ServedEndpoint.WorkInPlace
    private let places: [Place]

    /// The scope of the last call on a loop, for the next one.
    private final class Place {
        var scope: CallScope?
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
    }

    func serve(_ call: ServerCall, _ request: borrowing IncomingRequest) {
        let place = places[call.loop.index]
        var scope = takeScope(of: place, for: request)
        let (result, reply) = attempt(scope, request)
        let isFree = isKnownUniquelyReferenced(&scope)
        // A handler that has kept its context may ask it later.
        if !isFree { scope.keep() }
        switch result {
        case .success(let message): call.answer(message, reply, scope)
        case .failure(let failure): call.answer(failure, isGRPC: request.isGRPC, scope)
        }
        if isFree { place.scope = scope }
    }

    private func takeScope(of place: Place, for request: borrowing IncomingRequest) -> CallScope {
        guard let scope = place.scope.take() else { return CallScope(of: origin, request) }
        scope.reuse(for: request)
        return scope
    }

    /// A function of its own, so that nothing of it holds on to the scope when it has returned.
    @inline(never)
    private func attempt(
        _ scope: CallScope, _ request: borrowing IncomingRequest
    ) -> (Result<[UInt8], MicroError>, ReplyFormat) {
        let context = Context(scope: scope)
        let observation = telemetry.begin(context)
        var choice = MessageChoice.none
        do {
            choice = try format.choose(request)
            let (readForm, replyForm) = (choice.readForm, choice.reply.form)
            let reply = try request.body.withSpan { bytes in
                try observation.run {
                    try runtime.inEnvironment { try work(bytes, readForm, replyForm, context) }
                }
            }
            observation.end(nil)
            return (.success(reply), choice.reply)
        } catch {
            let failure = context.failure(error)
            observation.end(failure)
            return (.failure(failure), choice.reply)
        }
    }
}
