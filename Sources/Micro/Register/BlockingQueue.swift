/// Blocking work, one piece at a time and in order, on the environment's worker threads: what waits
/// takes no thread.
final class BlockingQueue: Sendable {
    private let environment: Environment
    private let turns = Turns()

    init(environment: Environment) { self.environment = environment }

    /// Runs `work` when all before it is done.
    ///
    /// - Throws: What `work` throws; `CancellationError` when the task is cancelled while it waits
    ///   for its turn. Work that has begun is waited for.
    func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
        try await turns.take { try await environment.offload(work) }
    }

    /// As ``run(_:)``, for what must be done even when the task is cancelled.
    func runAlways(_ work: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            environment.spawn {
                try? await self.run(work)
                continuation.resume()
            }
        }
    }
}
