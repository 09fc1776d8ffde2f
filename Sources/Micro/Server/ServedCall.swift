internal import Logging
internal import Synchronization

/// One asynchronous call between its request and its answer: the task that works on it, and whoever
/// cancels that.
final class ServedCall: CallWatcher, @unchecked Sendable {  // the task is behind a mutex
    private let call: ServerCall
    private let isGRPC: Bool
    private let task = Mutex<SpawnedTask?>(nil)

    init(_ call: ServerCall, isGRPC: Bool) {
        self.call = call
        self.isGRPC = isGRPC
        super.init()
    }

    /// Starts `work` on `executor` and answers with what comes out. On the call's loop.
    func start(
        on executor: (any TaskExecutor)?, _ context: Context,
        _ work: @escaping @Sendable () async throws -> OutgoingAnswer
    ) {
        call.onCancel(self)
        let started = SpawnedTask(on: executor) {
            self.finish(await context.answer(isGRPC: self.isGRPC, work), context)
        }
        task.withLock { $0 = started }
    }

    private func finish(_ answer: OutgoingAnswer, _ context: Context) {
        var answer = answer
        answer.take(context)
        call.answer(answer, keeping: self)
    }

    override func callWasCancelled(_ why: CoreStatus) {
        task.withLock { $0 }?.cancel()
    }
}

extension Context {
    /// What comes out of `work`, an answer or a failure, in the caller's own form.
    func answer(
        isGRPC: Bool, _ work: @Sendable () async throws -> OutgoingAnswer
    ) async -> OutgoingAnswer {
        do {
            return try await bind(work)
        } catch {
            return OutgoingAnswer(failure(error), isGRPC: isGRPC)
        }
    }

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
