internal import Synchronization

/// Set once, by whoever is first; everybody who waits goes on.
final class ShutdownTrigger: Sendable {
    private struct State {
        var isPulled = false
        var next = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    var isPulled: Bool { state.withLock { $0.isPulled } }

    /// - Returns: Whether this was the first time.
    @discardableResult
    func pull() -> Bool {
        let (first, waiters) = state.withLock { state in
            defer {
                state.isPulled = true
                state.waiters = [:]
            }
            return (!state.isPulled, state.waiters.sorted { $0.key < $1.key }.map(\.value))
        }
        for waiter in waiters { waiter.resume() }
        return first
    }

    /// Waits until it is pulled; the cancellation of the waiting task pulls it.
    func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isPulled = state.withLock { state in
                    if !state.isPulled {
                        state.next += 1
                        state.waiters[state.next] = continuation
                    }
                    return state.isPulled
                }
                if isPulled { continuation.resume() }
            }
        } onCancel: {
            pull()
        }
    }
}
