import Synchronization
import Testing

@testable import Micro

/// What happened, in order, written by any number of tasks.
final class Journal<Entry: Sendable>: Sendable {
    private let written = Mutex<[Entry]>([])

    var entries: [Entry] { written.withLock { $0 } }
    var count: Int { written.withLock { $0.count } }

    func write(_ entry: Entry) { written.withLock { $0.append(entry) } }
}

/// A number that any number of tasks count up.
final class Tally: Sendable {
    private let count = Mutex(0)

    var value: Int { count.withLock { $0 } }

    func add(_ number: Int = 1) { count.withLock { $0 += number } }
}

/// Waits for something that other threads bring about. The limit is far beyond what that takes, and
/// only there so that a defect fails the test instead of hanging it.
func eventually(
    _ what: String, sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: @Sendable () async -> Bool
) async throws {
    let limit = ContinuousClock.now + .seconds(60)
    while await !condition() {
        guard ContinuousClock.now < limit else {
            Issue.record("in 60 seconds it did not happen: \(what)", sourceLocation: sourceLocation)
            throw CancellationError()
        }
        try await Task.sleep(for: .milliseconds(1))
    }
}

/// The error of a body that must throw a ``MicroError``.
func microError(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async throws -> MicroError {
    let error = await #expect(throws: MicroError.self, sourceLocation: sourceLocation) {
        try await body()
    }
    return try #require(error, sourceLocation: sourceLocation)
}

/// The time on the simulation's clock since it began, in milliseconds.
var virtualMilliseconds: Int {
    Int((Environment.current.clock.now.nanoseconds - 1_000_000_000) / 1_000_000)
}
