internal import Synchronization

/// What comes along with the messages of a stream: headers before them, trailers behind them.
final class StreamHead: Sendable {
    private let headers = Latch<Metadata>()
    private let last = Mutex(Metadata())

    /// - Parameter headers: What is known already.
    init(headers: Metadata? = nil) {
        if let headers { self.headers.set(.success(headers)) }
    }

    var trailers: Metadata { last.withLock { $0 } }

    /// The headers, as soon as they have come.
    func metadata() async throws -> Metadata { try await headers.wait() }

    /// The first result counts.
    func set(headers result: Result<Metadata, any Error>) { headers.set(result) }

    func set(trailers: Metadata) { last.withLock { $0 = trailers } }
}
