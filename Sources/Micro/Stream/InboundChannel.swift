internal import Synchronization

/// The messages of a stream on their way from its loop to the task that takes them: one is asked
/// for when somebody waits, and one ahead of that. What nobody asked for stays with the sender.
///
/// Any thread; what the call tells, it tells on its loop.
final class InboundChannel<Message: Sendable>: Sendable {
    private struct Waiter {
        let id: UInt64
        let continuation: CheckedContinuation<Message?, any Error>
    }

    private enum End {
        case finished
        case failed(any Error)
    }

    private struct State {
        var waiter: Waiter?
        var ahead: (message: Message, wasCompressed: Bool)?
        var isAsked = false
        var end: End?
        var isUsed = false
        var wasCompressed = false
        var lastID: UInt64 = 0
    }

    private enum Step {
        case message(Message, asks: Bool)
        case end
        case failed(any Error)
        case wait(asks: Bool)
    }

    private let call: any StreamCall
    private let decode: @Sendable (RawSpan) throws -> Message
    private let state = Mutex(State())

    init(_ call: any StreamCall, decode: @escaping @Sendable (RawSpan) throws -> Message) {
        self.call = call
        self.decode = decode
    }

    /// Whether somebody has begun to take messages.
    var isUsed: Bool { state.withLock { $0.isUsed } }

    /// Whether the last message that was taken came compressed.
    var wasCompressed: Bool { state.withLock { $0.wasCompressed } }

    /// Whether the end has been told.
    var isAtEnd: Bool { state.withLock { $0.end != nil && $0.ahead == nil } }

    // MARK: Taking

    /// The next message; nil at the end.
    func next() async throws -> Message? {
        switch state.withLock({
            $0.isUsed = true; return step(&$0, parking: nil)
        }) {
        case .message(let message, let asks):
            if asks { ask() }
            return message
        case .end: return nil
        case .failed(let error): throw error
        case .wait: break
        }
        let id = state.withLock { state in
            state.lastID &+= 1
            return state.lastID
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation {
                park(Waiter(id: id, continuation: $0))
            }
        } onCancel: {
            let waiter: Waiter? = state.withLock { state in
                state.waiter?.id == id ? state.waiter.take() : nil
            }
            waiter?.continuation.resume(throwing: CancellationError())
        }
    }

    private func park(_ waiter: Waiter) {
        let step: Step = state.withLock { state in
            if Task.isCancelled { return .failed(CancellationError()) }
            return self.step(&state, parking: waiter)
        }
        switch step {
        case .message(let message, let asks):
            if asks { ask() }
            waiter.continuation.resume(returning: message)
        case .end: waiter.continuation.resume(returning: nil)
        case .failed(let error): waiter.continuation.resume(throwing: error)
        case .wait(let asks): if asks { ask() }
        }
    }

    private func step(_ state: inout State, parking waiter: Waiter?) -> Step {
        if let (message, wasCompressed) = state.ahead.take() {
            state.wasCompressed = wasCompressed
            let asks = !state.isAsked && state.end == nil
            if asks { state.isAsked = true }
            return .message(message, asks: asks)
        }
        switch state.end {
        case .finished: return .end
        case .failed(let error): return .failed(error)
        case nil: break
        }
        guard state.waiter == nil else {
            return .failed(
                MicroError(
                    call.id, .failedPrecondition,
                    "two tasks take messages of one stream at once: it has one consumer"))
        }
        guard let waiter else { return .wait(asks: false) }
        state.waiter = waiter
        defer { state.isAsked = true }
        return .wait(asks: !state.isAsked)
    }

    private func ask() {
        let isAccepted = call.loop.executeNow {
            let status = self.call.receive()
            // Of a call that has ended the reason is told, or was.
            if status.raw < 0, status != .closed, status != .notFound {
                self.finish(throwing: MicroError(self.call.id, status.code, status.text))
            }
        }
        if !isAccepted {
            finish(throwing: MicroError(call.id, .unavailable, "the event loop has ended"))
        }
    }
}

/// What a call tells its inbound channel, on its loop.
protocol StreamInlet: AnyObject, Sendable {
    /// The message that was asked for.
    func received(_ bytes: RawSpan, wasCompressed: Bool)
    /// No message follows. The first end counts.
    func finish(throwing error: (any Error)?)
}

extension InboundChannel: StreamInlet {
    func received(_ bytes: RawSpan, wasCompressed: Bool) {
        let message: Message
        do {
            message = try decode(bytes)
        } catch {
            return finish(throwing: error)
        }
        let waiter: Waiter? = state.withLock { state in
            if let waiter = state.waiter.take() {
                state.wasCompressed = wasCompressed
                return waiter  // and the next one is asked for
            }
            state.isAsked = false
            state.ahead = (message, wasCompressed)
            return nil
        }
        guard let waiter else { return }
        waiter.continuation.resume(returning: message)
        ask()
    }

    func finish(throwing error: (any Error)? = nil) {
        let waiter: Waiter? = state.withLock { state in
            guard state.end == nil else { return nil }
            state.end = error.map { .failed($0) } ?? .finished
            return state.waiter.take()
        }
        guard let waiter else { return }
        if let error {
            waiter.continuation.resume(throwing: error)
        } else {
            waiter.continuation.resume(returning: nil)
        }
    }
}
