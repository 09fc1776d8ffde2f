/// Runs `body` in a task of its own and waits for its end, but not longer than `timeout`: then the
/// task is cancelled and left alone, though it may go on. For what must not hold up an end.
///
/// - Parameter what: What took too long: "leaving the register".
/// - Throws: What `body` throws; ``MicroError`` deadlineExceeded.
func withPatience(
    _ timeout: Duration, in environment: Environment, _ id: String, _ what: String,
    _ body: @escaping @Sendable () async throws -> Void
) async throws {
    let end = Latch<Void>()
    let task = environment.spawn {
        do {
            try await body()
            end.open()
        } catch {
            end.set(.failure(error))
        }
    }
    do {
        try await withTimeout(timeout, on: environment.clock, id, what) { try await end.wait() }
    } catch {
        task.cancel()
        throw error
    }
}
