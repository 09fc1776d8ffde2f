internal import Synchronization

/// A result that is set once, and that any number of tasks wait for.
package final class Latch<Value: Sendable>: Sendable {
    private struct State {
        var result: Result<Value, any Error>?
        var waiters: [UInt64: CheckedContinuation<Value, any Error>] = [:]
        var lastWaiter: UInt64 = 0
    }

    private let state = Mutex(State())

    /// A latch that is not set.
    package init() {}

    /// What was set, if it was.
    package var result: Result<Value, any Error>? { state.withLock { $0.result } }

    /// Any thread. The first result counts.
    package func set(_ result: Result<Value, any Error>) {
        let waiters = state.withLock { state in
            if state.result == nil { state.result = result }
            defer { state.waiters = [:] }
            return state.waiters.sorted { $0.key < $1.key }
        }
        for (_, waiter) in waiters { waiter.resume(with: result) }
    }

    /// Waits until it is set. Throws `CancellationError` when the task is cancelled first.
    package func wait() async throws -> Value {
        let id = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let answer: Result<Value, any Error>? = state.withLock { state in
                    if let result = state.result { return result }
                    // Asked under the lock: a cancellation that comes later finds the waiter.
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.waiters[id] = continuation
                    return nil
                }
                if let answer { continuation.resume(with: answer) }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?
                .resume(throwing: CancellationError())
        }
    }
}

/// A door that is opened once.
extension Latch where Value == Void {
    var isOpen: Bool { result != nil }

    /// Any thread; idempotent.
    func open() { set(.success(())) }
}
