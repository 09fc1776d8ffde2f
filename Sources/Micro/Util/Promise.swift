internal import Synchronization

/// A value that one task waits for and another one sets, once.
final class Promise<Value: Sendable>: Sendable {
    private enum State {
        case empty
        case waiting(CheckedContinuation<Value, any Error>)
        case set(Result<Value, any Error>)
        /// It is not kept here once it was handed over.
        case taken
    }

    private let state = Mutex(State.empty)

    /// The first result counts.
    func set(_ result: Result<Value, any Error>) {
        let waiter: CheckedContinuation<Value, any Error>? = state.withLock { state in
            switch state {
            case .empty:
                state = .set(result)
                return nil
            case .waiting(let waiter):
                state = .taken
                return waiter
            case .set, .taken: return nil
            }
        }
        waiter?.resume(with: result)
    }

    /// Waits for it. To be called once; whoever sets it has to react to a cancellation.
    func value() async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            let result: Result<Value, any Error>? = state.withLock { state in
                switch state {
                case .set(let result):
                    state = .taken
                    return result
                case .empty:
                    state = .waiting(continuation)
                    return nil
                case .waiting, .taken:
                    return .failure(
                        MicroError("promise", .internal, "a promise is waited for twice"))
                }
            }
            if let result { continuation.resume(with: result) }
        }
    }
}
