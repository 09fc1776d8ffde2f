internal import Micro

/// The checks of a conformance suite that failed, and how.
public struct ConformanceFailure: Error, CustomStringConvertible {
    /// "check: what was wrong", one for each check that failed.
    public var messages: [String]
    /// All of them, one to a line.
    public var description: String { messages.joined(separator: "\n") }
}

/// Runs the checks of a suite, all or those named, also when some fail.
///
/// - Throws: ``ConformanceFailure`` with every check that failed, and with every name that is no
///   check's; `CancellationError`.
func runChecks<Check>(
    _ checks: [Check], only names: [String]?, name: (Check) -> String,
    _ body: (Check) async throws -> Void
) async throws {
    let known = checks.map(name)
    var messages = (names ?? []).filter { !known.contains($0) }
        .map { "\($0): there is no such check" }
    for check in checks where names?.contains(name(check)) ?? true {
        try Task.checkCancellation()
        do {
            try await body(check)
        } catch {
            messages.append("\(name(check)): \(error)")
        }
    }
    if !messages.isEmpty { throw ConformanceFailure(messages: messages) }
}

/// What `body` returns, or nil when that takes longer than `limit`; it is cancelled then.
func within<T: Sendable>(
    _ limit: Duration, _ environment: Environment, _ body: @escaping @Sendable () async throws -> T
) async throws -> T? {
    let clock = environment.clock
    return try await withThrowingTaskGroup(of: T?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await clock.sleep(for: limit)
            return nil
        }
        defer { group.cancelAll() }
        return try await group.next() ?? nil
    }
}

/// What a check has found.
struct Wrong: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
    if !condition { throw Wrong(message()) }
}

func expect<T: Equatable>(_ expected: T, _ actual: T, _ what: String) throws {
    try require(expected == actual, "\(what): \(actual), not \(expected)")
}

/// What `body` throws, which has to be a ``MicroError``.
func refusal(
    _ what: String, _ body: () async throws -> Void
) async throws -> MicroError {
    do {
        try await body()
    } catch let error as MicroError {
        return error
    } catch {
        throw Wrong("\(what) is refused with \(error), which is no MicroError")
    }
    throw Wrong("\(what) is not refused")
}

/// The error that `body` throws, which must be of this kind.
@discardableResult
func expectError(
    _ code: MicroError.Code, reason: String? = nil, _ what: String,
    _ body: () async throws -> Void
) async throws -> MicroError {
    let error = try await refusal(what, body)
    try require(
        error.matches(code) && (reason ?? error.reason) == error.reason,
        "\(what): threw \(error), expected \(code) \(reason ?? "")")
    return error
}
