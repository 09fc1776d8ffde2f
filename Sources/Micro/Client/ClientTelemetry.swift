internal import CoreMetrics
internal import Tracing

/// Counts, times and traces the calls to one endpoint, and writes the trace into what is sent.
struct ClientTelemetry: Sendable {
    private let metrics: CallMetrics?
    private let operation: String

    /// Whether the program has bootstrapped metrics or tracing.
    static var isEnabled: Bool {
        CallTracing.isEnabled || !(MetricsSystem.factory is NOOPMetricsHandler)
    }

    static let none = ClientTelemetry()

    private init() {
        metrics = nil
        operation = ""
    }

    init(service: String, endpoint: String) {
        metrics = CallMetrics(role: "client", service: service, endpoint: endpoint)
        operation = "\(service)/\(endpoint)"
    }

    func begin(_ request: inout ClientRequest) -> CallObservation {
        var span: (any Span)?
        if CallTracing.isEnabled, !operation.isEmpty {
            let started = CallTracing.start(operation, kind: .client)
            CallTracing.inject(started, into: &request.options.metadata)
            span = started
        }
        return CallObservation(
            metrics: metrics, started: metrics?.begin(), span: span)
    }
}
