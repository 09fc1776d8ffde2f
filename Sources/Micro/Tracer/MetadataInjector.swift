internal import Tracing

/// Writes what a tracer propagates into the metadata of a call.
struct MetadataInjector: Injector {
    func inject(_ value: String, forKey key: String, into carrier: inout Metadata) {
        carrier[key] = value
    }
}

/// Reads what a tracer propagates from the metadata of a call. Several values of a name are joined
/// with commas, as HTTP allows for `tracestate` and `baggage`; two `traceparent`s make an invalid
/// one.
struct MetadataExtractor: Extractor {
    func extract(key: String, from carrier: Metadata) -> String? {
        let values = carrier.values(key)
        return values.count > 1 ? values.joined(separator: ",") : values.first
    }
}
