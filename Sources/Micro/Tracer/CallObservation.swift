internal import Tracing

/// One call under observation. Ends once.
struct CallObservation: Sendable {
    var metrics: CallMetrics?
    var started: UInt64?
    var span: (any Span)?

    /// Runs the handler as a part of the call's trace.
    func run<T>(_ body: () throws -> T) rethrows -> T {
        guard let span else { return try body() }
        return try ServiceContext.$current.withValue(span.context) { try body() }
    }

    /// Runs the handler as a part of the call's trace.
    func run<T>(_ body: () async throws -> T) async rethrows -> T {
        guard let span else { return try await body() }
        return try await ServiceContext.$current.withValue(span.context) { try await body() }
    }

    func end(_ failure: MicroError?) {
        if let started { metrics?.end(started: started, failure) }
        guard let span else { return }
        if let failure {
            span.recordError(failure)
            span.setStatus(SpanStatus(code: .error, message: failure.detail))
        }
        span.end()
    }
}
