/// How long to wait after a failure: a random part of a bound that doubles with each, so that those
/// who have lost something at the same time don't come back at the same time.
package enum Backoff {
    private static let millisecondsMax: UInt64 = 5_000

    /// - Parameters:
    ///   - failures: One after the other so far, at least 1.
    ///   - random: 64 random bits.
    /// - Returns: 10 ms at least, below 110 ms after the first failure and 5.01 s at most.
    package static func pause(after failures: Int, random: UInt64) -> Duration {
        let bound = min(millisecondsMax, 100 << UInt64(min(max(failures, 1) - 1, 10)))
        return .milliseconds(10 + random % bound)
    }
}
