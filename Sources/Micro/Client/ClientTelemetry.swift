internal import CoreMetrics
internal import Synchronization
internal import Tracing

/// Counts, times and traces the calls to one endpoint, and writes the trace into what is sent.
struct ClientTelemetry: Sendable {
    private let metrics: CallMetrics?
    private let tracing: CallTracing?
    private let operation: String

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

/// The telemetry of a client's endpoints.
final class ClientTelemetries: Sendable {
    private enum Mode {
        static let unknown: UInt8 = 0
        static let off: UInt8 = 1
        static let on: UInt8 = 2
    }

    private let mode = Atomic<UInt8>(Mode.unknown)
    private let known = Mutex<[String: ClientTelemetry]>([:])

    /// Whether the program had bootstrapped metrics or tracing when the client made its first call.
    var isEnabled: Bool {
        let mode = mode.load(ordering: .relaxed)
        return mode == Mode.unknown ? look() : mode == Mode.on
    }

    private func look() -> Bool {
        let isEnabled =
            !(InstrumentationSystem.tracer is NoOpTracer)
            || !(MetricsSystem.factory is NOOPMetricsHandler)
        mode.store(isEnabled ? Mode.on : Mode.off, ordering: .relaxed)
        return isEnabled
    }

    func of(_ request: ClientRequest) -> ClientTelemetry {
        guard isEnabled else { return .none }
        let key = "\(request.service)/\(request.endpoint)"
        return known.withLock { known in
            if let telemetry = known[key] { return telemetry }
            // Names come from the program, but a gateway's may come from outside.
            if known.count >= ClientTelemetries.endpointsMax { known = [:] }
            let telemetry = ClientTelemetry(service: request.service, endpoint: request.endpoint)
            known[key] = telemetry
            return telemetry
        }
    }

    private static let endpointsMax = 4096
}
