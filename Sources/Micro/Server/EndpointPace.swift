/// How long the handlers of an endpoint keep their loop before they wait or end, on average: those
/// that are slow are not run where other calls wait behind them. Used on one loop.
struct EndpointPace {
    private var average: UInt64 = 0
    private var calls: UInt32 = 0
    private var measuredAt: UInt64 = 0

    /// A handler that computes for so long costs more than a change of threads, by far.
    private static let slow: UInt64 = 50_000  // 50 µs
    /// One call that took longer counts as this: the thread may have been waiting for a processor.
    private static let most = 2 * slow
    /// Of handlers that are quick every so many calls are measured.
    private static let sampling: UInt32 = 8
    /// What was slow is looked at again after so long.
    private static let memory: UInt64 = 10_000_000_000  // 10 s

    /// Whether the next call should run elsewhere.
    func isSlow(at now: UInt64) -> Bool {
        average > EndpointPace.slow && now &- measuredAt < EndpointPace.memory
    }

    /// Runs `body` and notes how long it took.
    mutating func measured<T>(on loop: EventLoop, _ body: () -> T) -> T {
        calls &+= 1
        if average < EndpointPace.slow / 4, calls % EndpointPace.sampling != 1 { return body() }
        let before = loop.turnAge
        let result = body()
        note(loop.turnAge &- before, at: loop.now)
        return result
    }

    /// The average follows by an eighth of the difference: six slow calls in a row are believed.
    mutating func note(_ elapsed: UInt64, at now: UInt64) {
        measuredAt = now
        average = average - average / 8 + min(elapsed, EndpointPace.most) / 8
    }
}
