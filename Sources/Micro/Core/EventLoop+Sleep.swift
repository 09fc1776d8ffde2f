internal import CMicroCore
internal import Synchronization

extension EventLoop {
    /// Suspends until the loop's clock has reached `deadline`, in nanoseconds; lets others run, and
    /// goes on, when it has already.
    ///
    /// - Throws: `CancellationError` as soon as the task is cancelled; ``MicroError`` when the loop
    ///   has ended.
    func sleep(until deadline: UInt64) async throws {
        if deadline <= now, isRunning {
            try Task.checkCancellation()
            return await Task.yield()
        }
        let sleeper = Sleeper(loop: self)
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { sleeper.start($0, until: deadline) }
        } onCancel: {
            sleeper.cancel()
        }
    }
}

/// One sleep. Whoever takes the continuation out of the state resumes it, so it is resumed once,
/// in whatever order start, timer and cancellation come.
final class Sleeper: Sendable {
    private struct State {
        var continuation: CheckedContinuation<Void, any Error>?
        var timer: UInt64 = 0
        var isCancelled = false
    }

    private let loop: EventLoop
    private let state = Mutex(State())

    init(loop: EventLoop) { self.loop = loop }

    func start(_ continuation: CheckedContinuation<Void, any Error>, until deadline: UInt64) {
        let isCancelled = state.withLock { state in
            if !state.isCancelled { state.continuation = continuation }
            return state.isCancelled
        }
        if isCancelled {
            continuation.resume(throwing: CancellationError())
        } else if !loop.executeNow({ self.arm(deadline) }) {
            finish(throwing: MicroError("loop", .unavailable, "the event loop has ended"))
        }
    }

    func cancel() {
        let continuation = state.withLock { state in
            state.isCancelled = true
            return state.continuation.take()
        }
        guard let continuation else { return }
        continuation.resume(throwing: CancellationError())
        loop.executeNow { self.disarm() }
    }

    private func arm(_ deadline: UInt64) {
        guard state.withLock({ $0.continuation != nil }) else { return }
        guard loop.isRunning else { return loopHasEnded() }
        let now = loop.now
        let delay = deadline > now ? deadline - now : 0
        var timer: UInt64 = 0
        let sleeper = Unmanaged.passUnretained(self).toOpaque()
        let status = mcore_loop_timer_start(loop.raw, delay, fireSleeper, sleeper, &timer)
        guard status >= 0 else {
            finish(throwing: MicroError("loop", CoreStatus(raw: status).code, "start a timer"))
            return
        }
        state.withLock { $0.timer = timer }
        // The timer's reference: until it fires, is cancelled, or the loop ends.
        loop.sleepers.withLock { $0[timer] = self }
    }

    private func disarm() {
        let timer = state.withLock { $0.timer }
        guard timer != 0, mcore_loop_timer_cancel(loop.raw, timer) == MCORE_OK else { return }
        _ = loop.sleepers.withLock { $0.removeValue(forKey: timer) }
    }

    fileprivate func fire() {
        let timer = state.withLock { $0.timer }
        _ = loop.sleepers.withLock { $0.removeValue(forKey: timer) }
        state.withLock { $0.continuation.take() }?.resume()
    }

    /// The timer will not fire. On the loop's thread.
    func loopHasEnded() {
        let timer = state.withLock { $0.timer }
        if timer != 0 { _ = mcore_loop_timer_cancel(loop.raw, timer) }
        finish(throwing: MicroError("loop", .unavailable, "the event loop has ended"))
    }

    private func finish(throwing error: MicroError) {
        state.withLock { $0.continuation.take() }?.resume(throwing: error)
    }
}

private let fireSleeper: mcore_job = { arg in
    guard let arg else { return }
    Unmanaged<Sleeper>.fromOpaque(arg).takeUnretainedValue().fire()
}
