/// How long to wait after a failure: a random part of a bound that doubles with each, so that those
/// who have lost etcd at the same time don't come back at the same time.
enum Backoff {
    static let boundMax = Duration.seconds(5)

    /// - Parameters:
    ///   - failures: One after the other so far, at least 1.
    ///   - random: 64 random bits.
    /// - Returns: 10 ms at least, below 110 ms after the first failure and 5.01 s at most.
    static func pause(after failures: Int, random: UInt64) -> Duration {
        let bound = min(boundMax, .milliseconds(100 << min(max(failures, 1) - 1, 10)))
        let milliseconds = max(1, UInt64(bound / .milliseconds(1)))
        return .milliseconds(10 + Int64(random % milliseconds))
    }
}
