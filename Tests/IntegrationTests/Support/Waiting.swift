import Micro

/// What a test could not do or see.
struct TestFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// How long something may take that takes milliseconds on an idle machine. Only a failure waits so
/// long.
let patience = Duration.seconds(60)

/// Waits until `condition` has a value.
///
/// - Parameter explanation: What to say beside `what` when it never has one.
func until<Value>(
    _ what: String, within limit: Duration = patience,
    _ condition: () async throws -> Value?,
    otherwise explanation: () -> String = { "" }
) async throws -> Value {
    let clock = ContinuousClock()
    let deadline = clock.now.advanced(by: limit)
    while true {
        if let value = try await condition() { return value }
        guard clock.now < deadline else {
            throw TestFailure("after \(limit) still not: \(what); \(explanation())")
        }
        try await Task.sleep(for: .milliseconds(2))
    }
}

/// Waits until `condition` is true.
func until(
    _ what: String, within limit: Duration = patience, _ condition: () async throws -> Bool
) async throws {
    _ = try await until(what, within: limit) { try await condition() ? true : nil }
}

/// What `body` threw.
func failure(of body: () async throws -> Void) async -> MicroError? {
    do {
        try await body()
        return nil
    } catch {
        return error as? MicroError
    }
}
