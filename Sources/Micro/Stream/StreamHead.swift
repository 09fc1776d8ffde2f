internal import Synchronization

/// What comes along with the messages of a stream: headers before them, trailers behind them.
final class StreamHead: Sendable {
    private struct State {
        var headers: Result<Metadata, any Error>?
        var trailers = Metadata()
        var waiters: [UInt64: CheckedContinuation<Metadata, any Error>] = [:]
        var lastID: UInt64 = 0
    }

    private let state = Mutex(State())

    /// - Parameter headers: What is known already.
    init(headers: Metadata? = nil) {
        if let headers { state.withLock { $0.headers = .success(headers) } }
    }

    var trailers: Metadata { state.withLock { $0.trailers } }

    /// The headers if they have come.
    var headers: Metadata? { state.withLock { try? $0.headers?.get() } }

    /// The headers, as soon as they have come.
    func metadata() async throws -> Metadata {
        let id = state.withLock { state in
            state.lastID &+= 1
            return state.lastID
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result: Result<Metadata, any Error>? = state.withLock { state in
                    if let headers = state.headers { return headers }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.waiters[id] = continuation
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiters.removeValue(forKey: id) }
            waiter?.resume(throwing: CancellationError())
        }
    }

    /// The first result counts.
    func set(headers: Result<Metadata, any Error>) {
        let waiters = state.withLock { state in
            guard state.headers == nil else { return Array(state.waiters.values) }
            state.headers = headers
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resume(with: headers) }
    }

    func set(trailers: Metadata) { state.withLock { $0.trailers = trailers } }
}
