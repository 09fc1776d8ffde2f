/// How long a message that failed waits before it is delivered again: longer each time, and spread,
/// so that many that failed together don't come back together.
public struct RedeliveryBackoff: Sendable, Hashable {
    /// The wait after the first failure. Default 100 ms.
    public var initial: Duration

    /// The longest wait, before it is spread. Default 30 s.
    public var maximum: Duration

    /// What each wait is multiplied with for the next. Default 2.
    public var factor: Double

    /// How far a wait is spread: 0.2 makes it 80 % to 120 %. From 0 to 1. Default 0.2.
    public var jitter: Double

    /// Makes a backoff.
    public init(
        initial: Duration = .milliseconds(100), maximum: Duration = .seconds(30),
        factor: Double = 2, jitter: Double = 0.2
    ) {
        self.initial = initial
        self.maximum = maximum
        self.factor = factor
        self.jitter = jitter
    }

    /// The wait after a message has failed for the `failures`th time.
    ///
    /// - Parameters:
    ///   - failures: 1 after the first delivery; less is taken for 1.
    ///   - random: 64 random bits for the spread.
    public func delay(after failures: Int, random: UInt64) -> Duration {
        // Bounded, whatever the fields are: nothing below may overflow, or loop for long.
        let ceiling = min(max(.zero, maximum), RedeliveryBackoff.limit)
        let growth = factor.isFinite ? max(1, factor) : 1
        let spread = jitter.isFinite ? min(max(0, jitter), 1) : 0
        var wait = min(max(.zero, initial), ceiling)
        var remaining = max(1, min(failures, 1_000)) - 1
        while remaining > 0, wait > .zero, wait < ceiling, growth > 1 {
            wait = wait * min(growth, ceiling / wait)
            remaining -= 1
        }
        return min(wait, ceiling) * (1 - spread + 2 * spread * random.unitInterval)
    }

    private static let limit: Duration = .seconds(365 * 86_400)
}
