import Micro
import Testing

/// Expects that `body` throws a `MicroError` of this kind.
///
/// - Returns: The error.
@discardableResult
func expectError(
    _ code: MicroError.Code, reason: String? = nil,
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async -> MicroError? {
    do {
        try await body()
        Issue.record("nothing was thrown, expected \(code)", sourceLocation: sourceLocation)
        return nil
    } catch let error as MicroError {
        #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
        if let reason {
            #expect(error.reason == reason, "\(error)", sourceLocation: sourceLocation)
        }
        return error
    } catch {
        Issue.record(error, sourceLocation: sourceLocation)
        return nil
    }
}
