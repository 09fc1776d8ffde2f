internal import Tracing

/// Spans around calls, by the tracer that the program had bootstrapped when this was made.
struct CallTracing: Sendable {
    private let tracer: any Tracer
    private let instrument: any Instrument

    /// nil when there is none.
    init?() {
        tracer = InstrumentationSystem.tracer
        instrument = InstrumentationSystem.instrument
        guard !(tracer is NoOpTracer) else { return nil }
    }

    /// Starts a span whose parent is in `metadata`.
    func start(_ operation: String, kind: SpanKind, extracting metadata: Metadata) -> any Span {
        var context = ServiceContext.current ?? .topLevel
        instrument.extract(metadata, into: &context, using: MetadataExtractor())
        return tracer.startSpan(operation, context: context, ofKind: kind)
    }

    /// Starts a span below the current one.
    func start(_ operation: String, kind: SpanKind) -> any Span {
        tracer.startSpan(operation, context: ServiceContext.current ?? .topLevel, ofKind: kind)
    }

    /// Writes the span into what goes to the next service.
    func inject(_ span: any Span, into metadata: inout Metadata) {
        instrument.inject(span.context, into: &metadata, using: MetadataInjector())
    }
}
