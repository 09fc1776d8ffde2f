internal import Tracing

/// Counts, times and traces the calls of one endpoint. Costs two comparisons when the program has
/// bootstrapped neither metrics nor tracing.
///
/// Metrics: `micro_server_request_total{service,endpoint,status,code}`,
/// `micro_server_request_duration_seconds` and `micro_server_request_inflight`.
struct ServerTelemetry: Sendable {
    private let metrics: CallMetrics?
    private let tracing: CallTracing?
    private let operation: String

    init(service: String, endpoint: String) {
        metrics = CallMetrics(role: "server", service: service, endpoint: endpoint)
        tracing = CallTracing()
        operation = "\(service)/\(endpoint)"
    }

    /// Whether anything is counted, timed or traced.
    var isEnabled: Bool { metrics != nil || tracing != nil }

    func begin(_ context: Context) -> CallObservation {
        guard isEnabled else { return CallObservation() }
        let span = tracing?.start(operation, kind: .server, extracting: context.metadata)
        return CallObservation(metrics: metrics, started: metrics?.begin(), span: span)
    }
}
