internal import Synchronization

/// A bell that one task waits at: rung before it comes, it does not wait.
package final class WakeUp: Sendable {
    private let state = Mutex(State())

    private struct State {
        var isRung = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    /// A bell that was not rung.
    package init() {}

    /// Any thread.
    package func ring() {
        let waiter = state.withLock { state in
            let waiter = state.waiter.take()
            state.isRung = waiter == nil
            return waiter
        }
        waiter?.resume()
    }

    /// Is rung when something in a folder has changed, as long as the watch that it returns lives.
    /// nil where there is no such thing: whoever waits looks by itself now and then, too.
    func listen(to folder: String, in environment: Environment) async -> FolderWatch? {
        guard !environment.isSimulated else { return nil }
        return try? await FolderWatch(path: folder, environment: environment) { self.ring() }
    }

    /// Waits until it is rung, for `duration` at most, or until the task is cancelled.
    package func wait(atMost duration: Duration, clock: EventLoopClock) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await clock.sleep(for: duration) }
            group.addTask { await self.wait() }
            await group.next()
            group.cancelAll()
        }
    }

    /// Waits until it is rung, or until the task is cancelled.
    package func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isRung = state.withLock { state in
                    if state.isRung || Task.isCancelled {
                        state.isRung = false
                        return true
                    }
                    state.waiter = continuation
                    return false
                }
                if isRung { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiter.take() }?.resume()
        }
    }
}
