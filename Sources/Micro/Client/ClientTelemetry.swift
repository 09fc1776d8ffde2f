internal import CoreMetrics
internal import Tracing

/// Counts, times and traces the calls to one endpoint, and writes the trace into what is sent.
struct ClientTelemetry: Sendable {
    private let metrics: CallMetrics?
    private let tracing: CallTracing?
    private let operation: String

    /// Whether the program has bootstrapped metrics or tracing.
    static var isEnabled: Bool {
        !(InstrumentationSystem.tracer is NoOpTracer)
            || !(MetricsSystem.factory is NOOPMetricsHandler)
    }

    static let none = ClientTelemetry()

    private init() {
        metrics = nil
        tracing = nil
        operation = ""
    }

    init(service: String, endpoint: String) {
        metrics = CallMetrics(role: "client", service: service, endpoint: endpoint)
        tracing = CallTracing()
        operation = "\(service)/\(endpoint)"
    }

    func begin(_ request: inout ClientRequest) -> CallObservation {
        let span = tracing?.start(operation, kind: .client)
        if let tracing, let span { tracing.inject(span, into: &request.options.metadata) }
        return CallObservation(metrics: metrics, started: metrics?.begin(), span: span)
    }
}
