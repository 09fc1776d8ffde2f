internal import CMicroCore

/// What a limiter admits, as the core takes it. Zero is no such limit.
struct LimiterSettings: Sendable, Hashable {
    var inFlightMax: UInt32 = 0
    /// Not zero: the limit is found out, between this and `inFlightMax`.
    var inFlightMin: UInt32 = 0
    var tokens: UInt64 = 0
    var tokenPeriod: UInt64 = 0  // ns
    var tokensMax: UInt64 = 0
    var windowMax: UInt32 = 0
    var window: UInt64 = 0  // ns

    fileprivate var raw: mcore_limiter_options {
        var raw = mcore_limiter_options()
        mcore_limiter_options_default(&raw)
        raw.in_flight_max = inFlightMax
        raw.in_flight_min = inFlightMin
        raw.tokens = tokens
        raw.token_period_ns = tokenPeriod
        raw.tokens_max = tokensMax
        raw.window_max = windowMax
        raw.window_ns = window
        return raw
    }
}

/// Limits of calls that can be changed while they hold. Used by any thread.
final class CoreLimiter: Sendable {
    let pointer: CorePointer

    init(_ settings: LimiterSettings) throws(MicroError) {
        var raw = settings.raw
        var created: OpaquePointer?
        try check(mcore_limiter_create(&raw, &created), "limits", "make a limiter")
        guard let created else { throw MicroError("limits", .internal, "the core made no limiter") }
        pointer = CorePointer(raw: created)
    }

    deinit { mcore_limiter_release(pointer.raw) }

    /// Not two of these at once.
    func configure(_ settings: LimiterSettings) throws(MicroError) {
        var raw = settings.raw
        try check(mcore_limiter_configure(pointer.raw, &raw), "limits", "set the limits")
    }
}
