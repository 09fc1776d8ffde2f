internal import CMicroCore

/// One task that waits for something of a loop: until it is resumed there, its time is up, or it is
/// cancelled, whichever is first.
final class LoopWait<Value: Sendable>: @unchecked Sendable {  // used on the loop once it has begun
    private let loop: EventLoop
    private let leave: @Sendable (LoopWait) -> Void
    private var suspension: Suspension<Value>?
    private var hasBegun = false
    private var isCancelled = false
    private var alarm: LoopAlarm?

    private init(_ loop: EventLoop, _ leave: @escaping @Sendable (LoopWait) -> Void) {
        self.loop = loop
        self.leave = leave
    }

    /// Waits for a value.
    ///
    /// - Parameters:
    ///   - timeout: How long; nil: for ever.
    ///   - timedOut: What is thrown when the time is up; of no account without a timeout.
    ///   - leave: Nobody waits any more, and nothing has come. On the loop.
    ///   - begin: Keeps the wait where it is found by whoever resumes it. On the loop; not called
    ///     for a task that is cancelled.
    nonisolated(nonsending) static func value(
        on loop: EventLoop, timeout: Duration? = nil,
        timedOut: @escaping @Sendable () -> MicroError = {
            MicroError("loop", .deadlineExceeded, "the time is up")
        },
        leave: @escaping @Sendable (LoopWait) -> Void,
        begin: @escaping @Sendable (LoopWait) -> Void
    ) async throws -> Value {
        let wait = LoopWait(loop, leave)
        return try await withTaskCancellationHandler {
            try await suspend { suspension in
                wait.suspension = suspension
                let isTaken = loop.executeNow { wait.start(timeout, timedOut, begin) }
                if !isTaken {
                    wait.resume(
                        throwing: MicroError("loop", .unavailable, "the event loop has ended"))
                }
            }
        } onCancel: {
            loop.executeNow { wait.cancel() }
        }
    }

    private func start(
        _ timeout: Duration?, _ timedOut: @escaping @Sendable () -> MicroError,
        _ begin: (LoopWait) -> Void
    ) {
        if isCancelled { return resume(throwing: CancellationError()) }
        hasBegun = true
        begin(self)
        guard let timeout, suspension != nil else { return }
        do {
            alarm = try LoopAlarm(on: loop, after: timeout) { [weak self] in
                self?.giveUp(timedOut())
            }
        } catch {
            giveUp(error)
        }
    }

    private func cancel() {
        isCancelled = true
        if hasBegun { giveUp(CancellationError()) }
    }

    private func giveUp(_ error: any Error) {
        guard let suspension = take() else { return }
        leave(self)
        suspension.resume(throwing: error)
    }

    private func take() -> Suspension<Value>? {
        alarm?.stop()
        alarm = nil
        return suspension.take()
    }

    /// The task goes on in place where it can. Does nothing when it waits no more.
    func resume(returning value: Value) {
        guard let suspension = take() else { return }
        loop.resumeHere(suspension, returning: value)
    }

    func resume(throwing error: any Error) { take()?.resume(throwing: error) }
}

/// Calls a function once, unless it is stopped before. On its loop only.
final class LoopAlarm {
    private let loop: EventLoop
    private var timer: UInt64 = 0
    private var fire: (() -> Void)?

    init(
        on loop: EventLoop, after delay: Duration, _ fire: @escaping () -> Void
    ) throws(MicroError) {
        self.loop = loop
        self.fire = fire
        let retained = Unmanaged.passRetained(self)
        let status = mcore_loop_timer_start(
            loop.raw, delay.unsignedNanoseconds, ringAlarm, retained.toOpaque(), &timer)
        if status < 0 { retained.release() }
        try check(status, "loop", "start a timer")
    }

    fileprivate func ring() { fire.take()?() }

    func stop() {
        guard fire.take() != nil else { return }
        if mcore_loop_timer_cancel(loop.raw, timer) == MCORE_OK {
            Unmanaged.passUnretained(self).release()
        }
    }
}

private let ringAlarm: mcore_job = { alarm in
    guard let alarm else { return }
    Unmanaged<LoopAlarm>.fromOpaque(alarm).takeRetainedValue().ring()
}
