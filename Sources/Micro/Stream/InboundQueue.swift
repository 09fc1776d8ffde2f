internal import Synchronization

/// The messages of a stream on their way from its loop to the task that takes them: one is asked
/// for when somebody waits, and one ahead of that. What nobody asked for stays with the sender.
///
/// Any thread; what the call tells, it tells on its loop. Bytes go through it, since they cost less
/// than values of a type that is not known here.
@usableFromInline
final class InboundQueue: Sendable {
    private struct Waiter {
        let id: UInt64
        let suspension: Suspension<[UInt8]?>
    }

    private enum End {
        case finished
        case failed(any Error)
    }

    private struct State {
        var waiter: Waiter?
        var ahead: (message: [UInt8], wasCompressed: Bool)?
        var isAsked = false
        var end: End?
        var isUsed = false
        var wasCompressed = false
        var lastID: UInt64 = 0
        var owner = TaskMark.nobody
    }

    private enum Step {
        case message([UInt8], asks: Bool)
        case end
        case failed(any Error)
        case wait(asks: Bool)
    }

    private let call: any StreamCall
    private let state = Mutex(State())

    init(_ call: any StreamCall) { self.call = call }

    /// Whether somebody has begun to take messages.
    var isUsed: Bool { state.withLock { $0.isUsed } }

    /// Whether the last message that was taken came compressed.
    var wasCompressed: Bool { state.withLock { $0.wasCompressed } }

    /// Whether the end has been told.
    var isAtEnd: Bool { state.withLock { $0.end != nil && $0.ahead == nil } }

    // MARK: Taking

    /// The next message; nil at the end.
    @usableFromInline
    nonisolated(nonsending) func next() async throws -> [UInt8]? {
        let first: Step = state.withLock { state in
            state.isUsed = true
            return step(&state, parking: nil)
        }
        switch first {
        case .message(let message, let asks):
            if asks { ask() }
            return message
        case .end: return nil
        case .failed(let error): throw error
        case .wait: break
        }
        let (id, isOwner) = state.withLock { state in
            state.lastID &+= 1
            return (state.lastID, state.owner == TaskMark.current)
        }
        if isOwner { return try await suspend { park(Waiter(id: id, suspension: $0)) } }
        return try await withTaskCancellationHandler {
            try await suspend { park(Waiter(id: id, suspension: $0)) }
        } onCancel: {
            let waiter: Waiter? = state.withLock { state in
                state.waiter?.id == id ? state.waiter.take() : nil
            }
            waiter?.suspension.resume(throwing: CancellationError())
        }
    }

    /// Says that whoever cancels the current task ends the queue first: while it waits for a
    /// message nobody has to look after its cancellation.
    func belongsToCurrentTask() {
        let current = TaskMark.current
        state.withLock { $0.owner = current }
    }

    /// A message that was taken can't be read: whoever comes back is told so again.
    @usableFromInline
    func refuse(_ error: any Error) {
        state.withLock { state in
            state.ahead = nil
            state.end = .failed(error)
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
            waiter.suspension.resume(returning: message)
        case .end: waiter.suspension.resume(returning: nil)
        case .failed(let error): waiter.suspension.resume(throwing: error)
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
    func belongsToCurrentTask()
    /// No message follows. The first end counts.
    func finish(throwing error: (any Error)?)
}

extension InboundQueue: StreamInlet {
    func received(_ bytes: RawSpan, wasCompressed: Bool) {
        let message = [UInt8](copying: bytes)
        let waiter: Waiter? = state.withLock { state in
            if case .failed = state.end { return nil }
            if let waiter = state.waiter.take() {
                state.wasCompressed = wasCompressed
                return waiter  // and the next one is asked for
            }
            state.isAsked = false
            state.ahead = (message, wasCompressed)
            return nil
        }
        guard let waiter else { return }
        // Its task goes on in place where it can.
        call.loop.resumeHere(waiter.suspension, returning: message)
        ask()
    }

    func finish(throwing error: (any Error)?) {
        let waiter: Waiter? = state.withLock { state in
            guard state.end == nil else { return nil }
            state.end = error.map { .failed($0) } ?? .finished
            return state.waiter.take()
        }
        guard let waiter else { return }
        if let error {
            waiter.suspension.resume(throwing: error)
        } else {
            waiter.suspension.resume(returning: nil)
        }
    }
}
