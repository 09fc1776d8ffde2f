internal import Synchronization

/// Work of which one piece runs at a time, in the order in which it came: a lock for what suspends.
package final class Turns: Sendable {
    private let state = Mutex(State())

    private struct State {
        var isBusy = false
        var waiters = Fifo<Waiter>()
        var lastWaiter: UInt64 = 0
    }

    private struct Waiter {
        var id: UInt64
        var continuation: CheckedContinuation<Void, any Error>
    }

    package init() {}

    /// Runs `body` when all before it is done.
    ///
    /// - Throws: What `body` throws; `CancellationError` when the task is cancelled while it waits
    ///   for its turn.
    package func take<T: Sendable>(_ body: () async throws -> T) async throws -> T {
        try await enter()
        defer { leave() }
        return try await body()
    }

    private func enter() async throws {
        let id = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let answer: Result<Void, any Error>? = state.withLock { state in
                    // Asked under the lock: a cancellation that comes later finds the waiter.
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if !state.isBusy {
                        state.isBusy = true
                        return .success(())
                    }
                    state.waiters.append(Waiter(id: id, continuation: continuation))
                    return nil
                }
                if let answer { continuation.resume(with: answer) }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiters.removeFirst { $0.id == id } }
            waiter?.continuation.resume(throwing: CancellationError())
        }
    }

    private func leave() {
        let next = state.withLock { state -> Waiter? in
            let next = state.waiters.popFirst()
            if next == nil { state.isBusy = false }
            return next
        }
        next?.continuation.resume()
    }
}
