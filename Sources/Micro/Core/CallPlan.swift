internal import CMicroCore

/// What a call carries and how often it may be tried. Times are in nanoseconds, 0 for none.
struct CallPlan: Sendable {
    var head: CallHead
    var body: [UInt8]
    var metadata: Metadata
    /// 0 is for streams only.
    var timeout: UInt64
    var attemptTimeout: UInt64
    var attemptsMax: Int
    var isIdempotent: Bool
    var waitsForReady: Bool
    var kind = CallKind.unary
    /// Of the message; for a stream of requests: whether some of its messages may be.
    var isCompressed = false
}

extension CallPlan {
    func withRaw<T>(_ body: (UnsafePointer<mcore_call_plan>) -> T) -> T {
        metadata.withHeaders { headers, headerCount in
            self.body.withUnsafeBytes { message in
                var raw = mcore_call_plan()
                raw.struct_size = UInt32(MemoryLayout<mcore_call_plan>.size)
                raw.attempts_max = UInt32(clamping: attemptsMax)
                head.fill(&raw)
                raw.body = mcore_slice(message)
                raw.metadata = headers
                raw.metadata_count = headerCount
                raw.timeout_ns = timeout
                raw.attempt_timeout_ns = attemptTimeout
                raw.idempotent = isIdempotent ? 1 : 0
                raw.wait_for_ready = waitsForReady ? 1 : 0
                raw.streaming = kind.raw
                raw.body_flags = messageFlags(isCompressed: isCompressed)
                return body(&raw)
            }
        }
    }
}
