internal import CMicroCore

/// A fresh reading of the monotonic clock, for measuring how long something took. Timeouts take an
/// environment's clock instead.
enum MonotonicTime {
    static var nanoseconds: UInt64 { mcore_monotonic_ns() }
}
