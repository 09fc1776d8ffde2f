import CoreMetrics
import Synchronization
import Testing
import Tracing

@testable import Micro

/// The metrics and the spans of calls, by backends that are bound to the test's task.
@Suite(.timeLimit(.minutes(10)))
struct TelemetryTests {
    /// Two services, of which one calls the other, and what came out of a few calls.
    private func serve(_ body: (MicroService) async throws -> Void) async throws {
        let register = MemoryRegister()
        let (front, back) = (
            makeService("front", in: register), makeService("back", in: register)
        )
        back.handle("Work") { (refuse: Bool, context) async throws -> Empty in
            try await context.clock.sleep(for: .milliseconds(1))
            if refuse { throw MicroError.notFound("work", "nothing here") }
            return Empty()
        }
        back.handle("Sync") { (refuse: Bool, context) -> Empty in
            if refuse { throw MicroError.conflict("sync", "no") }
            return Empty()
        }
        front.handle("Go") { (refuse: Bool, context) async throws -> Empty in
            try await context.client.call("back", "Work", refuse)
        }
        try await running(back, front) { try await body(front) }
    }

    // MARK: Metrics

    @Test func callsAreCountedAndTimed() async throws {
        try await withSimulation {
            let metrics = TestMetrics()
            try await withMetricsFactory(metrics) {
                try await serve { front in
                    for endpoint in ["Work", "Sync"] {
                        for refuse in [false, false, true] {
                            _ = try? await front.client.call(
                                "back", endpoint, refuse, as: Empty.self)
                        }
                    }
                    _ = try? await front.client.call("nobody", "Work", false, as: Empty.self)
                }
            }
            for role in ["server", "client"] {
                for (endpoint, code) in [("Work", "NOT_FOUND"), ("Sync", "CONFLICT")] {
                    let name = "micro_\(role)_request"
                    let at = "endpoint=\(endpoint) service=back"
                    #expect(
                        metrics.value("\(name)_total code=OK \(at) status=success") == 2, "\(role)")
                    #expect(
                        metrics.value("\(name)_total code=\(code) \(at) status=failure") == 1)
                    #expect(metrics.recorded("\(name)_duration_seconds \(at)").count == 3)
                    #expect(
                        metrics.recorded("\(name)_duration_seconds \(at)").allSatisfy { $0 >= 0 })
                    // Up to one and back, each time.
                    #expect(
                        metrics.recorded("\(name)_inflight \(at)") == [1, 0, 1, 0, 1, 0], "\(role)")
                }
            }
            #expect(
                metrics.value(
                    "micro_client_request_total code=NOT_FOUND endpoint=Work service=nobody "
                        + "status=failure") == 1)
        }
    }

    @Test func nothingIsMadeWithoutABackend() {
        #expect(CallMetrics(role: "server", service: "s", endpoint: "e") == nil)
        #expect(CallTracing() == nil)
        #expect(!ClientTelemetries().isEnabled)
    }

    @Test func cancelledCallsAreCountedToo() async throws {
        try await withSimulation {
            let metrics = TestMetrics()
            try await withMetricsFactory(metrics) {
                let service = makeService()
                service.handle("Slow") { (_: Empty, context) -> Empty in
                    try await context.clock.sleep(for: .seconds(3600))
                    return Empty()
                }
                try await running(service) {
                    _ = try? await service.client.call(
                        "greeter", "Slow", Empty(), as: Empty.self,
                        options: CallOptions(timeout: .seconds(1)))
                    try await Environment.current.clock.sleep(for: .seconds(1))
                }
            }
            let at = "endpoint=Slow service=greeter"
            #expect(
                metrics.value(
                    "micro_client_request_total code=DEADLINE_EXCEEDED \(at) status=failure") == 1)
            #expect(
                metrics.value("micro_server_request_total code=CANCELLED \(at) status=failure") == 1
            )
            #expect(metrics.recorded("micro_server_request_inflight \(at)") == [1, 0])
        }
    }

    // MARK: Spans

    @Test func spansAreBelowEachOtherAcrossServices() async throws {
        try await withSimulation {
            let tracer = TestTracer()
            try await withTracer(tracer) {
                try await serve { front in
                    _ = try await front.client.call("front", "Go", false, as: Empty.self)
                    _ = try? await front.client.call("front", "Go", true, as: Empty.self)
                }
            }
            let spans = tracer.spans
            #expect(
                spans.map(\.description) == [
                    "client front/Go", "server front/Go", "server back/Work",
                    "client front/Go", "server front/Go", "server back/Work",
                ])
            // What a handler calls is below its own span: the trace goes on through the metadata.
            for offset in [0, 3] {
                #expect(spans[offset].parent == nil)
                #expect(spans[offset + 1].parent == spans[offset].id)
                #expect(spans[offset + 2].parent == spans[offset].id)
            }
            #expect(spans.allSatisfy { $0.ends == 1 })
            #expect(spans.prefix(3).allSatisfy { $0.failures.isEmpty })
            #expect(spans.suffix(3).allSatisfy { $0.failures == ["nothing here"] })
        }
    }

    @Test func theHandlerRunsInsideItsSpan() async throws {
        try await withSimulation {
            let tracer = TestTracer()
            let seen = Journal<Int?>()
            try await withTracer(tracer) {
                let service = makeService()
                service.handle("Async") { (_: Empty, context) async throws -> Empty in
                    await Task.yield()
                    seen.write(ServiceContext.current?.testSpan)
                    return Empty()
                }
                service.handle("Sync") { (_: Empty, context) -> Empty in
                    seen.write(ServiceContext.current?.testSpan)
                    return Empty()
                }
                try await running(service) {
                    for endpoint in ["Async", "Sync"] {
                        _ = try await service.client.call(
                            "greeter", endpoint, Empty(), as: Empty.self)
                    }
                }
            }
            let servers = tracer.spans.filter { $0.description.hasPrefix("server") }
            #expect(servers.count == 2)
            #expect(seen.entries == servers.map(\.id))
        }
    }

    @Test func clientsAreBelowTheSpanAroundThem() async throws {
        try await withSimulation {
            let tracer = TestTracer()
            try await withTracer(tracer) {
                try await serve { front in
                    var context = ServiceContext.topLevel
                    context.testSpan = 4711
                    try await ServiceContext.withValue(context) {
                        _ = try await front.client.call("back", "Sync", false, as: Empty.self)
                    }
                }
            }
            #expect(tracer.spans.first?.parent == 4711)
            #expect(tracer.spans.map(\.ends) == [1, 1])
        }
    }
}

// MARK: - Backends

/// Metrics by name and dimensions: "name key=value key=value".
private final class TestMetrics: MetricsFactory {
    final class Handler: CounterHandler, TimerHandler, MeterHandler, FloatingPointCounterHandler,
        RecorderHandler
    {
        let journal = Journal<Double>()
        func increment(by amount: Int64) { journal.write(Double(amount)) }
        func increment(by amount: Double) { journal.write(amount) }
        func decrement(by amount: Double) { journal.write(-amount) }
        func recordNanoseconds(_ duration: Int64) { journal.write(Double(duration)) }
        func set(_ value: Int64) { journal.write(Double(value)) }
        func set(_ value: Double) { journal.write(value) }
        func record(_ value: Int64) { journal.write(Double(value)) }
        func record(_ value: Double) { journal.write(value) }
        func reset() {}
    }

    private let handlers = Mutex<[String: Handler]>([:])

    func recorded(_ name: String) -> [Double] {
        handlers.withLock { $0[name] }?.journal.entries ?? []
    }

    func value(_ name: String) -> Double { recorded(name).reduce(0, +) }

    private func handler(_ label: String, _ dimensions: [(String, String)]) -> Handler {
        let facts = dimensions.sorted { $0.0 < $1.0 }.map { " \($0.0)=\($0.1)" }.joined()
        return handlers.withLock { handlers in
            let known = handlers[label + facts] ?? Handler()
            handlers[label + facts] = known
            return known
        }
    }

    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        handler(label, dimensions)
    }
    func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler { handler(label, dimensions) }
    func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        handler(label, dimensions)
    }
    func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler { handler(label, dimensions) }
    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        handler(label, dimensions)
    }
    func destroyCounter(_ handler: any CounterHandler) {}
    func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    func destroyMeter(_ handler: any MeterHandler) {}
    func destroyRecorder(_ handler: any RecorderHandler) {}
    func destroyTimer(_ handler: any TimerHandler) {}
}

extension ServiceContext {
    private enum SpanKey: ServiceContextKey { typealias Value = Int }

    fileprivate var testSpan: Int? {
        get { self[SpanKey.self] }
        set { self[SpanKey.self] = newValue }
    }
}

/// Numbers its spans in the order of their start, and sends the number along.
private final class TestTracer: Tracer {
    final class TestSpan: Tracing.Span {
        private struct State {
            var operationName: String
            var attributes: SpanAttributes = [:]
            var failures: [String] = []
            var ends = 0
        }

        let id: Int
        let parent: Int?
        let kind: SpanKind
        let context: ServiceContext
        private let state: Mutex<State>

        init(id: Int, _ name: String, kind: SpanKind, in context: ServiceContext) {
            self.id = id
            self.kind = kind
            parent = context.testSpan
            var own = context
            own.testSpan = id
            self.context = own
            state = Mutex(State(operationName: name))
        }

        var description: String { "\(kind) \(operationName)" }
        var failures: [String] { state.withLock { $0.failures } }
        var ends: Int { state.withLock { $0.ends } }

        var operationName: String {
            get { state.withLock { $0.operationName } }
            set { state.withLock { $0.operationName = newValue } }
        }
        var attributes: SpanAttributes {
            get { state.withLock { $0.attributes } }
            set { state.withLock { $0.attributes = newValue } }
        }
        var isRecording: Bool { ends == 0 }

        func setStatus(_ status: SpanStatus) {
            state.withLock { $0.failures.append(status.message ?? "") }
        }
        func addEvent(_ event: SpanEvent) {}
        func recordError<Instant: TracerInstant>(
            _ error: any Error, attributes: SpanAttributes, at instant: @autoclosure () -> Instant
        ) {}
        func addLink(_ link: SpanLink) {}
        func end<Instant: TracerInstant>(at instant: @autoclosure () -> Instant) {
            state.withLock { $0.ends += 1 }
        }
    }

    private let started = Mutex<[TestSpan]>([])

    var spans: [TestSpan] { started.withLock { $0 } }

    func startSpan<Instant: TracerInstant>(
        _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind,
        at instant: @autoclosure () -> Instant, function: String, file fileID: String, line: UInt
    ) -> TestSpan {
        let context = context()
        return started.withLock { started in
            let span = TestSpan(id: started.count + 1, operationName, kind: kind, in: context)
            started.append(span)
            return span
        }
    }

    func forceFlush() {}

    func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
    ) where Extract.Carrier == Carrier {
        context.testSpan = extractor.extract(key: "traceparent", from: carrier).flatMap(Int.init)
    }

    func inject<Carrier, Inject: Injector>(
        _ context: ServiceContext, into carrier: inout Carrier, using injector: Inject
    ) where Inject.Carrier == Carrier {
        if let span = context.testSpan {
            injector.inject("\(span)", forKey: "traceparent", into: &carrier)
        }
    }
}
