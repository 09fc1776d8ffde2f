/// One asynchronous call between its request and its answer: the task that works on it, and whoever
/// cancels that.
///
/// It is used again for a later call of its endpoint on the same loop, and so is its worker, a task
/// that waits for the next call when one has ended: to make a task costs more than most handlers.
/// All but what the task needs is touched on that loop only.
@usableFromInline
final class ServedCall: CallWatcher, @unchecked Sendable {  // see above
    private let loop: EventLoop
    /// While there is a call, so that those that wait for one keep nothing alive.
    private var endpoint: ServedUnary?
    /// nil: it is answered.
    private var call: ServerCall?
    private var scope: CallScope
    private var choice = MessageChoice.none
    private var isGRPC = false
    private var observation = CallObservation()
    @usableFromInline private(set) var message = LentBytes()
    /// The message, when it has to outlive the request.
    @usableFromInline private(set) var keptMessage: [UInt8]?
    private var outcome = Outcome.none

    /// What works on the call: the worker, or a task for this call alone.
    private var task: SpawnedTask?
    private var worker: SpawnedTask?
    /// The worker waits.
    private var parked: Suspension<Void>?
    private var isRetired = false

    private enum Outcome {
        case none
        case reply([UInt8])
        case failure(MicroError)
    }

    /// On the loop of the call.
    init(of endpoint: ServedUnary, _ call: ServerCall, _ request: borrowing IncomingRequest) {
        self.loop = call.loop
        self.scope = CallScope(of: endpoint.origin, request)
        super.init()
    }

    // MARK: From the request to the task. On the loop.

    /// Makes it another call, when it is nobody's.
    func reuse(of endpoint: ServedUnary, for request: borrowing IncomingRequest) {
        if isKnownUniquelyReferenced(&scope) {
            scope.reuse(for: request)
        } else {
            scope = CallScope(of: endpoint.origin, request)
        }
    }

    func begin(
        of endpoint: ServedUnary, _ call: ServerCall, _ request: borrowing IncomingRequest
    ) {
        self.endpoint = endpoint
        self.call = call
        isGRPC = request.isGRPC
        message = request.body
        if !endpoint.isPlain {
            observation = endpoint.telemetry.begin(Context(scope: scope))
        }
        do {
            choice = try endpoint.format.choose(request)
        } catch {
            let failure = Context(scope: scope).failure(error)
            observation.end(failure)
            outcome = .failure(failure)
            answer()
            return endpoint.place(on: loop).take(self)
        }
        call.onCancel(self)
        start(endpoint)
    }

    private func start(_ endpoint: ServedUnary) {
        let place = endpoint.place(on: loop)
        guard endpoint.startsInPlace(place, on: loop) else {
            keepRequest()
            if let call {
                task = SpawnedTask(on: nil) { await self.work(elsewhereOn: call, endpoint) }
            }
            return
        }
        // The message is read before anything else, while it is lent, unless there are hooks.
        if endpoint.hasHooks { keepRequest() }
        let began = place.pace.measuresNext() ? loop.turnAge : nil
        wakeWorker()
        if let began { place.pace.note(loop.turnAge &- began, at: loop.now) }
        guard self.call != nil else { return }
        // It waits for something; the request is taken back meanwhile.
        task = worker
        scope.keep()
    }

    private func wakeWorker() {
        if let parked {
            self.parked = nil
            loop.resumeHere(parked, returning: ())
        } else {
            let started = loop.startHere { await self.work() }
            if !isRetired { worker = started }
        }
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

    /// The worker. It ends when a call was cancelled, since a task is cancelled for ever.
    private func work() async {
        while await serveOne() {
            try? await suspend { parked in
                if self.isRetired { return parked.resume(returning: ()) }
                self.parked = parked
            }
        }
    }

    /// A function of its own, so that a worker that waits keeps no endpoint alive.
    /// - Returns: Whether another call may come.
    private func serveOne() async -> Bool {
        guard !isRetired, let endpoint else { return false }
        await attempt(endpoint)
        guard loop.isCurrent, !Task.isCancelled else {
            isRetired = true
            loop.executeNow { self.answer() }
            return false
        }
        answer()
        endpoint.place(on: loop).take(self)
        return !isRetired
    }

    private func work(elsewhereOn call: ServerCall, _ endpoint: ServedUnary) async {
        call.hasStarted()
        if Task.isCancelled {
            giveUp()
        } else {
            await attempt(endpoint)
        }
        loop.executeNow {
            self.answer()
            endpoint.place(on: self.loop).take(self)
        }
    }

    /// It has waited for a thread until nobody waited for it any more.
    private func giveUp() {
        let failure = MicroError(
            scope.origin.endpoint, .cancelled, "nobody waits for the answer any more")
        observation.end(failure)
        outcome = .failure(failure)
    }

    /// A function of its own, so that nothing of it holds on to the scope when it has returned.
    @inline(never)
    private func attempt(_ endpoint: ServedUnary) async {
        let context = Context(scope: scope)
        await Context.$bound.withValue(context) {
            do {
                let reply =
                    endpoint.isPlain
                    ? try await endpoint.work(self, context)
                    : try await endpoint.observed(self.observation, self, context)
                self.outcome = .reply(reply)
            } catch {
                self.outcome = .failure(context.failure(error))
            }
        }
    }

    // MARK: The end. On the loop.

    private func answer() {
        guard let call else { return }
        self.call = nil
        // A handler that has kept its context may ask it later.
        if !isKnownUniquelyReferenced(&scope) { scope.keep() }
        switch outcome {
        case .none: break
        case .reply(let reply): call.answer(reply, choice.reply, scope)
        case .failure(let failure): call.answer(failure, isGRPC: isGRPC, scope)
        }
        outcome = .none
        message = LentBytes()
        keptMessage = nil
        task = nil
        endpoint = nil
    }

    /// Ends a worker that waits. For one that nobody else has.
    func retire() {
        isRetired = true
        parked?.resume(returning: ())
        parked = nil
    }

    override func callWasCancelled(_ why: CoreStatus) { task?.cancel() }
}
