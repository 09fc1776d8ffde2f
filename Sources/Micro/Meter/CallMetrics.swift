internal import CoreMetrics
internal import Synchronization

/// The metrics of the calls of one endpoint, seen from one side. Names follow the original's
/// dashboards: `micro_{server,client}_request_{total,duration_seconds,inflight}`.
final class CallMetrics: Sendable {
    /// The backend when this was made: counters of failures are made when they first occur.
    private let factory: any MetricsFactory
    private let role: String
    private let dimensions: [(String, String)]
    private let duration: Timer
    private let inflight: Meter
    private let succeeded: Counter
    private let failed = Mutex<[String: Counter]>([:])
    private let running = Atomic<Int>(0)

    /// nil when the program has bootstrapped no metrics: then nothing is counted, and nothing
    /// spent.
    init?(role: String, service: String, endpoint: String) {
        let factory = MetricsSystem.factory
        guard !(factory is NOOPMetricsHandler) else { return nil }
        self.factory = factory
        self.role = role
        dimensions = [("service", service), ("endpoint", endpoint)]
        duration = Timer(
            label: "micro_\(role)_request_duration_seconds", dimensions: dimensions,
            factory: factory)
        inflight = Meter(
            label: "micro_\(role)_request_inflight", dimensions: dimensions, factory: factory)
        succeeded = Counter(
            label: "micro_\(role)_request_total",
            dimensions: dimensions + [("status", "success"), ("code", "OK")],
            factory: factory)
    }

    /// Returns the start of the call, to be handed to `end`.
    func begin() -> UInt64 {
        inflight.set(Double(running.wrappingAdd(1, ordering: .relaxed).newValue))
        return MonotonicTime.nanoseconds
    }

    func end(started: UInt64, _ failure: MicroError?) {
        inflight.set(Double(running.wrappingSubtract(1, ordering: .relaxed).newValue))
        let now = MonotonicTime.nanoseconds
        duration.recordNanoseconds(Int64(clamping: now >= started ? now - started : 0))
        guard let failure else { return succeeded.increment() }
        counter(failure.code.name).increment()
    }

    private func counter(_ code: String) -> Counter {
        failed.withLock { failed in
            if let known = failed[code] { return known }
            let counter = Counter(
                label: "micro_\(role)_request_total",
                dimensions: dimensions + [("status", "failure"), ("code", code)],
                factory: factory)
            failed[code] = counter
            return counter
        }
    }
}
