/// Runs `body`, and gives it up after `timeout` on `clock`.
///
/// - Parameters:
///   - timeout: How long `body` may take; it is cancelled then, and waited for.
///   - id: Where, for the error.
///   - what: What was waited for: "deregister from the local register".
/// - Throws: What `body` throws; ``MicroError`` deadlineExceeded.
package func withTimeout<T: Sendable>(
    _ timeout: Duration, on clock: EventLoopClock, _ id: String, _ what: String,
    _ body: @escaping @Sendable () async throws -> T
) async throws -> T {
    try await withThrowingTaskGroup(of: T?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await clock.sleep(for: timeout)
            return nil
        }
        defer { group.cancelAll() }
        guard let first = try await group.next(), let value = first else {
            throw MicroError(id, .deadlineExceeded, "\(what) took longer than \(timeout)")
        }
        return value
    }
}
