internal import CMicroCore

/// How a call ended.
struct CallOutcome: Sendable {
    var code: UInt32
    var transport: CoreStatus
    var wasWritten: Bool
    var attempts: Int
    var retriesUnwritten: Int
    var retriesIdempotent: Int
    var hedges: Int
    /// Why it was not sent to any node.
    var refusal: CallRefusal?
    /// When it may be sent, as far as that is known.
    var retryAfter: Duration
    var node: String
    var message: String
    var details: [UInt8]
    var contentType: String
    var body: [UInt8]
    var wasCompressed: Bool
    var headers: Metadata
    var trailers: Metadata

    /// No node was reached, for a reason that other nodes may not have.
    var wasNotTaken: Bool {
        guard transport != .ok, !wasWritten, refusal == nil else { return false }
        return transport != .cancelled && transport != .timedOut && transport != .closed
    }
}

extension CallOutcome {
    init(_ result: UnsafePointer<mcore_result>, _ texts: RecentTexts) {
        let count = Int(result.pointee.metadata_count)
        let headerCount = min(count, Int(result.pointee.header_count))
        let headers = result.pointee.metadata
        self.init(
            code: result.pointee.rpc_code, transport: CoreStatus(raw: result.pointee.transport),
            wasWritten: result.pointee.written != 0, attempts: Int(result.pointee.attempts),
            retriesUnwritten: Int(result.pointee.retries_unwritten),
            retriesIdempotent: Int(result.pointee.retries_idempotent),
            hedges: Int(result.pointee.hedges), refusal: CallRefusal(result.pointee.refused_by),
            retryAfter: .nanoseconds(Int64(clamping: result.pointee.retry_after_ns)),
            node: texts.string(result.pointee.node_id), message: String(result.pointee.message),
            details: [UInt8](result.pointee.details),
            contentType: texts.string(result.pointee.content_type),
            body: [UInt8](result.pointee.body),
            wasCompressed: result.pointee.body_flags & UInt32(MCORE_MESSAGE_COMPRESSED) != 0,
            headers: Metadata(headers, count: headerCount),
            trailers: Metadata(headers.map { $0 + headerCount }, count: count - headerCount))
    }
}

/// What refused a call before it was sent.
enum CallRefusal: Sendable {
    case breaker, inFlight, rate

    init?(_ raw: UInt32) {
        switch Int(raw) {
        case Int(MCORE_REFUSED_BY_BREAKER): self = .breaker
        case Int(MCORE_REFUSED_BY_IN_FLIGHT): self = .inFlight
        case Int(MCORE_REFUSED_BY_WINDOW), Int(MCORE_REFUSED_BY_TOKENS): self = .rate
        default: return nil
        }
    }

    /// For ``MicroError/reason``.
    var reason: String {
        switch self {
        case .breaker: "CIRCUIT_OPEN"
        case .inFlight: "TOO_MANY_CALLS"
        case .rate: "RATE_LIMITED"
        }
    }
}
