internal import Synchronization

/// A background task of which there is one at most: begun by whoever needs it, it ends by itself
/// when nobody does any more.
package final class SoleTask: Sendable {
    private struct State {
        var task: SpawnedTask?
        var isClosed = false
    }

    private let environment: Environment
    private let state = Mutex(State())

    /// A task that was not begun.
    package init(environment: Environment) { self.environment = environment }

    deinit { state.withLock { $0.task.take() }?.cancel() }

    package var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Begins `body`, unless it runs already or this was closed. It asks ``goesOn(while:)`` now and
    /// then, and must not keep the owner of this alive.
    package func begin(
        file: StaticString = #fileID, line: UInt = #line,
        _ body: @escaping @Sendable () async -> Void
    ) {
        state.withLock { state in
            guard state.task == nil, !state.isClosed else { return }
            state.task = environment.spawn(file: file, line: line, body)
        }
    }

    /// Whether the task has to go on; it asks that itself. When it is false, the task returns, and
    /// who calls ``begin(file:line:_:)`` next begins another one.
    package func goesOn(while isWanted: () -> Bool) -> Bool {
        state.withLock { state in
            // Under the lock: who comes now either is seen, or begins the next one.
            if !state.isClosed, isWanted() { return true }
            state.task = nil
            return false
        }
    }

    /// Cancels the task; none begins any more. Idempotent.
    package func close() {
        let task = state.withLock { state in
            state.isClosed = true
            return state.task.take()
        }
        task?.cancel()
    }
}
