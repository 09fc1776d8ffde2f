internal import Tracing

/// Counts, times and traces the calls of one endpoint. Costs two comparisons when the program has
/// bootstrapped neither metrics nor tracing.
///
/// Metrics: `micro_server_request_total{service,endpoint,status,code}`,
/// `micro_server_request_duration_seconds` and `micro_server_request_inflight`.
struct ServerTelemetry: Sendable {
    private let metrics: CallMetrics?
    private let isTraced: Bool
    private let operation: String

    init(service: String, endpoint: String) {
        metrics = CallMetrics(role: "server", service: service, endpoint: endpoint)
        isTraced = CallTracing.isEnabled
        operation = "\(service)/\(endpoint)"
    }

    func begin(_ context: Context) -> CallObservation {
        guard metrics != nil || isTraced else { return CallObservation() }
        let span =
            isTraced
            ? CallTracing.start(operation, kind: .server, extracting: context.metadata) : nil
        return CallObservation(metrics: metrics, started: metrics?.begin(), span: span)
    }
}
