internal import Synchronization

/// One call between the task that waits for it and the loop that carries it. Whoever takes the
/// continuation out of the state resumes it: once, in whatever order start, answer and cancellation
/// come.
final class PendingCall: Sendable {
    private struct State {
        var continuation: CheckedContinuation<CallOutcome, any Error>?
        var id: UInt64?
        var isCancelled = false
    }

    private let slot: ClientLoop
    private let state = Mutex(State())

    private init(slot: ClientLoop) { self.slot = slot }

    /// Runs `plan` on the loop of `slot`.
    ///
    /// - Throws: `CancellationError` as soon as the task is cancelled: the node is told, and not
    ///   waited for. ``MicroError`` when the call can't be started.
    static func run(
        on slot: ClientLoop, key: String, nodes: NodeSet, pick: UInt32, plan: CallPlan
    ) async throws -> CallOutcome {
        let call = PendingCall(slot: slot)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                call.start(continuation, key, nodes, pick, plan)
            }
        } onCancel: {
            call.cancel()
        }
    }

    private func start(
        _ continuation: CheckedContinuation<CallOutcome, any Error>, _ key: String,
        _ nodes: NodeSet, _ pick: UInt32, _ plan: CallPlan
    ) {
        let isCancelled = state.withLock { state in
            if !state.isCancelled { state.continuation = continuation }
            return state.isCancelled
        }
        guard !isCancelled else { return continuation.resume(throwing: CancellationError()) }
        let accepted = slot.loop.executeNow {
            guard self.state.withLock({ $0.continuation != nil }) else { return }
            do {
                let client = try self.slot.client()
                try client.update(key, to: nodes, pick: pick)
                let id = try client.start(key, plan) { self.finish(.success($0)) }
                self.state.withLock { $0.id = id }
            } catch {
                self.finish(.failure(error))
            }
        }
        if !accepted {
            finish(.failure(MicroError("client", .unavailable, "the event loop has ended")))
        }
    }

    private func cancel() {
        let continuation = state.withLock { state in
            state.isCancelled = true
            return state.continuation.take()
        }
        guard let continuation else { return }
        continuation.resume(throwing: CancellationError())
        slot.loop.executeNow {
            if let id = self.state.withLock({ $0.id }) { try? self.slot.client().cancel(id) }
        }
    }

    private func finish(_ result: Result<CallOutcome, any Error>) {
        state.withLock { $0.continuation.take() }?.resume(with: result)
    }
}

/// The place of a client on one loop. What is in it is made on first use, and touched there only.
final class ClientLoop: @unchecked Sendable {  // its state is touched on its loop only
    let loop: EventLoop
    private let limits: ClientLimits
    private let tls: ClientTLS
    private var made: LoopClient?
    private var isClosed = false

    init(loop: EventLoop, limits: ClientLimits, tls: ClientTLS) {
        self.loop = loop
        self.tls = tls
        self.limits = limits
    }

    /// On the loop.
    func client() throws(MicroError) -> LoopClient {
        if let made { return made }
        guard !isClosed else { throw MicroError("client", .unavailable, "the client is closed") }
        let client = try LoopClient(
            loop: loop, limits: limits
        ) { [tls] () throws(MicroError) in try tls.context() }
        made = client
        return client
    }

    /// Waits for the calls in flight, `grace` at most, and frees all.
    func close(grace: Duration) async {
        await withCheckedContinuation { continuation in
            close(grace: grace) { continuation.resume() }
        }
    }

    /// The same, without waiting for it.
    func close(grace: Duration, _ done: @escaping @Sendable () -> Void) {
        let accepted = loop.execute {
            self.isClosed = true
            guard let client = self.made else { return done() }
            client.close(grace: grace, done)
        }
        if !accepted { done() }
    }
}
