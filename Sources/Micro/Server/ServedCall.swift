/// One asynchronous call between its request and its answer: the task that works on it, and whoever
/// cancels that.
///
/// It is used again for a later call of its endpoint on the same loop. All but what the task needs
/// is touched on that loop only.
@usableFromInline
final class ServedCall: CallWatcher, @unchecked Sendable {  // see above
    private let endpoint: ServedUnary
    private let loop: EventLoop
    /// nil: it is answered.
    private var call: ServerCall?
    private var scope: CallScope
    private var choice = MessageChoice.none
    private var isGRPC = false
    private var observation = CallObservation()
    @usableFromInline private(set) var message = LentBytes()
    /// The message, when it has to outlive the request.
    @usableFromInline private(set) var keptMessage: [UInt8]?
    private var task: SpawnedTask?

    /// On the loop of the call.
    init(of endpoint: ServedUnary, _ call: ServerCall, _ request: borrowing IncomingRequest) {
        self.endpoint = endpoint
        self.loop = call.loop
        self.scope = CallScope(of: endpoint.origin, request)
        super.init()
    }

    /// Makes it another call. On its loop, when it is nobody's.
    func reuse(for request: borrowing IncomingRequest) {
        if isKnownUniquelyReferenced(&scope) {
            scope.reuse(for: request)
        } else {
            scope = CallScope(of: endpoint.origin, request)
        }
    }

    // MARK: From the request to the task. On the loop.

    func begin(_ call: ServerCall, _ request: borrowing IncomingRequest) {
        self.call = call
        isGRPC = request.isGRPC
        message = request.body
        observation = endpoint.telemetry.begin(Context(scope: scope))
        do {
            choice = try endpoint.format.choose(request)
        } catch {
            let failure = Context(scope: scope).failure(error)
            observation.end(failure)
            return finish(.failure(failure))
        }
        call.onCancel(self)
        start()
    }

    private func start() {
        let place = endpoint.place(on: loop)
        guard endpoint.startsInPlace(place, on: loop) else {
            keepRequest()
            task = SpawnedTask(on: nil) { await self.run() }
            return
        }
        // The message is read before anything else, while it is lent, unless there are hooks.
        if endpoint.hasHooks { keepRequest() }
        let started = place.pace.measured(on: loop) { loop.startHere { await self.run() } }
        guard call != nil else { return }
        // It waits for something; the request is taken back meanwhile.
        task = started
        scope.keep()
    }

    private func keepRequest() {
        scope.keep()
        keptMessage = message.withSpan { [UInt8](copying: $0) }
    }

    // MARK: The task

    /// The place of the form in which the reply has to be written.
    @usableFromInline var replyForm: Int { choice.reply.form }

    /// Lends the message, with the place of the form in which it is written. Only before the task
    /// waits for the first time.
    @inlinable
    func read<Message>(_ body: (RawSpan, Int) throws -> Message) rethrows -> Message {
        if let keptMessage { return try body(keptMessage.span.bytes, readForm) }
        return try message.withSpan { try body($0, readForm) }
    }

    @usableFromInline var readForm: Int { choice.readForm }

    private func run() async {
        let result = await attempt()
        if loop.isCurrent {
            finish(result)
        } else {
            loop.execute { self.finish(result) }
        }
    }

    /// A function of its own, so that nothing of it holds on to the scope when it has returned.
    @inline(never)
    private func attempt() async -> Result<[UInt8], MicroError> {
        let context = Context(scope: scope)
        do {
            let reply = try await Context.$bound.withValue(context) {
                endpoint.isPlain
                    ? try await endpoint.work(self, context)
                    : try await endpoint.observed(observation, self, context)
            }
            return .success(reply)
        } catch {
            return .failure(context.failure(error))
        }
    }

    // MARK: The end. On the loop.

    private func finish(_ result: Result<[UInt8], MicroError>) {
        guard let call else { return }
        self.call = nil
        // A handler that has kept its context may ask it later.
        if !isKnownUniquelyReferenced(&scope) { scope.keep() }
        call.answer(result, choice.reply, isGRPC: isGRPC, scope)
        message = LentBytes()
        keptMessage = nil
        task = nil
        endpoint.place(on: loop).take(self)
    }

    override func callWasCancelled(_ why: CoreStatus) { task?.cancel() }
}
