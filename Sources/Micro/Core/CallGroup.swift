internal import CMicroCore

/// What calls to an endpoint have in common, as the core takes it.
struct CallGroupSettings: Sendable {
    /// 0: no breaker.
    var breakerPercent: UInt32 = 0
    var breakerWindow: Duration = .seconds(10)
    var breakerMinCalls: UInt32 = 20
    /// nil: no hedging; zero: when a call takes longer than most.
    var hedgeDelay: Duration?
    var hedgePercent: UInt32 = 10
    /// Shared by all loops.
    var limiter: CoreLimiter?

    /// Whether it does nothing.
    var isEmpty: Bool { breakerPercent == 0 && hedgeDelay == nil && limiter == nil }

    fileprivate var raw: mcore_call_group_options {
        var raw = mcore_call_group_options()
        mcore_call_group_options_default(&raw)
        raw.breaker_percent = breakerPercent
        raw.breaker_window_ms = breakerWindow.clampedMilliseconds
        raw.breaker_calls_min = breakerMinCalls
        raw.hedge_delay_ms = 0
        if let hedgeDelay {
            raw.hedge_delay_ms =
                hedgeDelay == .zero ? MCORE_HEDGE_P95 : max(1, hedgeDelay.clampedMilliseconds)
        }
        raw.hedge_percent = hedgePercent
        raw.limiter = limiter?.pointer.raw
        return raw
    }
}

/// The calls to an endpoint that are made on one loop: their circuit breaker, limits and hedges.
/// Touched on its loop.
final class CallGroup {
    let pointer: OpaquePointer

    init(on client: OpaquePointer, _ settings: CallGroupSettings) throws(MicroError) {
        var raw = settings.raw
        var created: OpaquePointer?
        try check(
            mcore_client_open_group(client, &raw, &created), "client", "make a group of calls")
        guard let created else { throw MicroError("client", .internal, "the core made no group") }
        pointer = created
    }

    deinit { mcore_call_group_close(pointer) }

    /// Other settings from now on; what was counted stays.
    func configure(_ settings: CallGroupSettings) throws(MicroError) {
        var raw = settings.raw
        try check(mcore_call_group_configure(pointer, &raw), "client", "set a policy")
    }
}

/// What a loop has counted of the calls to an endpoint.
struct CallGroupStats: Sendable {
    var inFlight = 0
    var refusedByLimits: UInt64 = 0
    var hedges: UInt64 = 0
    /// In the breaker's window: calls that have ended, and those of them that were accepted.
    var windowCalls: UInt64 = 0
    var windowAccepted: UInt64 = 0
    /// How many of 1,000 calls the breaker rejects now.
    var rejectPermille = 0

    /// What several loops have counted.
    mutating func add(_ other: CallGroupStats) {
        inFlight += other.inFlight
        refusedByLimits += other.refusedByLimits
        hedges += other.hedges
        windowCalls += other.windowCalls
        windowAccepted += other.windowAccepted
        rejectPermille = max(rejectPermille, other.rejectPermille)
    }
}

extension CallGroup {
    /// Now.
    var stats: CallGroupStats {
        var raw = mcore_call_group_stats()
        raw.struct_size = UInt32(MemoryLayout<mcore_call_group_stats>.size)
        mcore_call_group_get_stats(pointer, &raw)
        return CallGroupStats(
            inFlight: Int(raw.in_flight), refusedByLimits: raw.refused_by_limit,
            hedges: raw.hedges, windowCalls: raw.window_requests,
            windowAccepted: raw.window_accepts, rejectPermille: Int(raw.reject_permille))
    }
}
