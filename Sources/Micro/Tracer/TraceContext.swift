/// Where a call stands in a distributed trace: W3C Trace Context, `traceparent` and `tracestate`.
struct TraceContext: Sendable, Hashable {
    static let parentName = "traceparent"
    static let stateName = "tracestate"

    /// 16 bytes as two numbers; never both zero.
    var traceID: TraceID
    /// The caller's span; never zero.
    var spanID: UInt64
    /// Bit 0: the trace is recorded. Bit 1: the trace id is random.
    var flags: UInt8
    /// What vendors carry along.
    var state: TraceState

    struct TraceID: Sendable, Hashable {
        var high: UInt64
        var low: UInt64
        var isZero: Bool { high == 0 && low == 0 }
    }

    var isSampled: Bool { flags & 1 != 0 }

    /// A new trace.
    init(sampled: Bool, using random: inout some RandomNumberGenerator) {
        traceID = TraceID(high: random.next(), low: .random(in: 1 ... .max, using: &random))
        spanID = .random(in: 1 ... .max, using: &random)
        flags = sampled ? 3 : 2
        state = TraceState()
    }

    /// Parses both headers.
    ///
    /// - Parameters:
    ///   - parent: `traceparent`. Version 00 is strict; of later versions the known front is read.
    ///   - state: `tracestate`; one that can't be read counts as absent.
    /// - Returns: nil for an invalid `traceparent`: the caller then starts a trace of its own.
    init?(parent: String, state: String? = nil) {
        guard parent.utf8.prefix(55).allSatisfy({ $0.isLowerHex || $0 == UInt8(ascii: "-") }) else {
            return nil
        }
        // ASCII so far, and only the part that all versions share.
        let known = Substring(parent.utf8.prefix(55))
        let fields = known.split(separator: "-", omittingEmptySubsequences: false)
        guard fields.map(\.utf8.count) == [2, 32, 16, 2],
            fields.allSatisfy({ $0.utf8.allSatisfy(\.isLowerHex) }),
            let version = UInt8(fields[0], radix: 16), version != 0xFF,
            let high = UInt64(fields[1].prefix(16), radix: 16),
            let low = UInt64(fields[1].suffix(16), radix: 16),
            let spanID = UInt64(fields[2], radix: 16), spanID != 0,
            let flags = UInt8(fields[3], radix: 16)
        else { return nil }
        let rest = parent.utf8.dropFirst(55)
        guard rest.isEmpty || version > 0 && rest.first == UInt8(ascii: "-") else { return nil }
        traceID = TraceID(high: high, low: low)
        guard !traceID.isZero else { return nil }
        self.spanID = spanID
        self.flags = flags
        self.state = state.flatMap(TraceState.init) ?? TraceState()
    }

    /// The headers of an incoming call.
    init?(_ metadata: Metadata) {
        // Two parents are none: a proxy went wrong.
        let parents = metadata.values(Self.parentName)
        guard parents.count == 1, let parent = parents.first else { return nil }
        let states = metadata.values(Self.stateName)
        self.init(parent: parent, state: states.isEmpty ? nil : states.joined(separator: ","))
    }

    /// `traceparent`, as version 00. Flags that are not defined are cleared.
    var parent: String {
        let flags = flags & 3
        return "00-\(traceID.high.hex)\(traceID.low.hex)-\(spanID.hex)-0\(flags)"
    }

    /// The same trace, seen from a new span.
    func child(using random: inout some RandomNumberGenerator) -> TraceContext {
        var child = self
        child.spanID = .random(in: 1 ... .max, using: &random)
        return child
    }

    /// Replaces both headers of an outgoing call.
    func inject(into metadata: inout Metadata) {
        metadata[Self.parentName] = parent
        metadata[Self.stateName] = state.isEmpty ? nil : state.description
    }
}

extension UInt64 {
    /// 16 digits.
    fileprivate var hex: String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

extension UInt8 {
    fileprivate var isLowerHex: Bool {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"): true
        default: false
        }
    }
}
