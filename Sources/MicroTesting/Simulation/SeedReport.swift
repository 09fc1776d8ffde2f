internal import Micro
internal import Synchronization

#if canImport(Testing)
    internal import Testing
#endif

/// The world of a run, once there is one.
final class WorldPlace: Sendable {
    private let place = Mutex<SimulatedWorld?>(nil)

    var world: SimulatedWorld? {
        get { place.withLock { $0 } }
        set { place.withLock { $0 = newValue } }
    }
}

/// Runs `body`; issues that Swift Testing records in it get a comment.
func withComment<T: Sendable>(
    _ comment: String, _ body: @escaping @Sendable () async throws -> T
) async throws -> T {
    #if canImport(Testing)
        guard let test = Test.current else { return try await body() }
        let result = Mutex<T?>(nil)
        let trait: IssueHandlingTrait = .compactMapIssues { issue in
            var issue = issue
            issue.comments.append(Comment(rawValue: comment))
            return issue
        }
        try await trait.provideScope(for: test, testCase: Test.Case.current) {
            let value = try await body()
            result.withLock { $0 = value }
        }
        guard let value = result.withLock({ $0 }) else {
            throw MicroError("simulation", .internal, "the body was not run")
        }
        return value
    #else
        return try await body()
    #endif
}
