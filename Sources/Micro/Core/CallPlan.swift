internal import CMicroCore

/// How long a call may take, how often it may be tried, and what of it is to be known beforehand.
/// Times are in nanoseconds, 0 for none.
struct CallPlan: Sendable {
    /// 0 is for streams only.
    var timeout: UInt64 = 0
    var attemptTimeout: UInt64 = 0
    var attemptsMax = 1
    var isIdempotent = false
    var waitsForReady = false
    var kind = CallKind.unary
    /// Of the message; for a stream of requests: whether some of its messages may be.
    var flags = MessageFlags.plain
    /// Calls with the same key go to the same node.
    var hashKey: String?
    /// When a second node is tried while the first goes on; 0: as the call's group says.
    var hedgeDelay: UInt64 = 0

    /// Lends the plan of a call in the core's form.
    func withRaw<T>(
        _ head: CallHead, _ body: [UInt8], _ metadata: Metadata, _ group: CallGroup?,
        _ use: (UnsafePointer<mcore_call_plan>) -> T
    ) -> T {
        defer { withExtendedLifetime(group) {} }
        return metadata.withHeaders { headers, headerCount in
            body.withUnsafeBytes { message in
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
                raw.body_flags = flags.raw
                raw.group = group?.pointer
                raw.hedge_delay_ns = hedgeDelay
                guard var key = hashKey else { return use(&raw) }
                return key.withUTF8 {
                    raw.hash_key = mcore_slice(UnsafeRawBufferPointer($0))
                    return use(&raw)
                }
            }
        }
    }
}
