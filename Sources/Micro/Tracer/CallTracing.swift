internal import Tracing

/// Spans around calls, by the tracer that the program has bootstrapped.
enum CallTracing {
    /// Whether there is one.
    static var isEnabled: Bool { !(InstrumentationSystem.tracer is NoOpTracer) }

    /// Starts a span whose parent is in `metadata`.
    static func start(
        _ operation: String, kind: SpanKind, extracting metadata: Metadata
    ) -> any Span {
        var context = ServiceContext.current ?? .topLevel
        InstrumentationSystem.instrument.extract(metadata, into: &context, using: MetadataExtractor())
        return InstrumentationSystem.tracer.startSpan(operation, context: context, ofKind: kind)
    }

    /// Starts a span below the current one.
    static func start(_ operation: String, kind: SpanKind) -> any Span {
        InstrumentationSystem.tracer.startSpan(
            operation, context: ServiceContext.current ?? .topLevel, ofKind: kind)
    }

    /// Writes the span into what goes to the next service.
    static func inject(_ span: any Span, into metadata: inout Metadata) {
        InstrumentationSystem.instrument.inject(span.context, into: &metadata, using: MetadataInjector())
    }
}
