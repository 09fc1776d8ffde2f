/// Whether the handlers of an endpoint keep their loop for long before they wait or end: those that
/// do are not run where other calls wait behind them. Used on one loop.
struct EndpointPace {
    /// The last eight calls that were measured, a bit for each that was slow.
    private var history: UInt8 = 0
    private var calls: UInt32 = 0
    private var measuredAt: UInt64 = 0

    /// A handler that computes for so long costs more than a change of threads, by far.
    private static let slow: UInt64 = 50_000  // 50 µs
    /// So many of the last eight make an endpoint slow: fewer may have waited for a processor.
    private static let slowMin = 4
    /// Of handlers that are quick every so many calls are measured.
    private static let sampling: UInt32 = 8
    /// What was slow is looked at again after so long.
    private static let memory: UInt64 = 10_000_000_000  // 10 s

    /// Whether the next call should run elsewhere.
    func isSlow(at now: UInt64) -> Bool {
        history != 0 && history.nonzeroBitCount >= EndpointPace.slowMin
            && now &- measuredAt < EndpointPace.memory
    }

    /// Whether the next call should be measured.
    mutating func measuresNext() -> Bool {
        calls &+= 1
        return history != 0 || calls % EndpointPace.sampling == 1
    }

    /// Takes note of a call that has been measured.
    mutating func note(_ elapsed: UInt64, at now: UInt64) {
        measuredAt = now
        history = history << 1 | (elapsed > EndpointPace.slow ? 1 : 0)
    }
}
