/// A task that waits to be resumed: exactly once, by whoever took this out of where it was kept.
/// Nobody checks that; what keeps it is a state from which it can be taken only once.
struct Suspension<Value: Sendable>: Sendable {
    private let continuation: UnsafeContinuation<Value, any Error>

    fileprivate init(_ continuation: UnsafeContinuation<Value, any Error>) {
        self.continuation = continuation
    }

    func resume(returning value: Value) { continuation.resume(returning: value) }
    func resume(throwing error: any Error) { continuation.resume(throwing: error) }
    func resume(with result: Result<Value, any Error>) { continuation.resume(with: result) }
}

/// Which task it is, to tell one that lives from another.
struct TaskMark: Equatable {
    private let task: UInt

    /// Nobody's outside of a task.
    static var current: TaskMark {
        withUnsafeCurrentTask { task in
            task.map { TaskMark(task: unsafeBitCast($0, to: UInt.self)) } ?? .nobody
        }
    }

    static let nobody = TaskMark(task: 0)
}

/// Suspends the task until what `park` is given is resumed.
nonisolated(nonsending) func suspend<Value: Sendable>(
    _ park: (Suspension<Value>) -> Void
) async throws -> Value {
    try await withUnsafeThrowingContinuation { park(Suspension($0)) }
}
