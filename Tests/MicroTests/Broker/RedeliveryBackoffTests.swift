import Micro
import Testing

@Suite struct RedeliveryBackoffTests {
    @Test func growsAndIsBounded() {
        let backoff = RedeliveryBackoff(
            initial: .milliseconds(100), maximum: .seconds(1), factor: 2, jitter: 0)
        let waits = (1...7).map { backoff.delay(after: $0, random: 0) }
        #expect(waits == [100, 200, 400, 800, 1000, 1000, 1000].map { .milliseconds($0) })
        #expect(backoff.delay(after: .max, random: 0) == .seconds(1))
        #expect(backoff.delay(after: .min, random: 0) == .milliseconds(100))
    }

    @Test func isSpreadEvenly() {
        let backoff = RedeliveryBackoff(initial: .seconds(1), jitter: 0.2)
        let least = backoff.delay(after: 1, random: 0)
        let most = backoff.delay(after: 1, random: .max)
        #expect(abs(least / .seconds(1) - 0.8) < 0.001)
        #expect(abs(most / .seconds(1) - 1.2) < 0.001)
        #expect(abs(backoff.delay(after: 1, random: .max / 2) / .seconds(1) - 1) < 0.001)
    }

    @Test(arguments: [
        RedeliveryBackoff(
            initial: .seconds(Int64.max), maximum: .seconds(Int64.max), factor: .infinity),
        RedeliveryBackoff(initial: .seconds(-5), maximum: .seconds(-9), factor: -1, jitter: -3),
        RedeliveryBackoff(factor: .nan, jitter: .nan),
        RedeliveryBackoff(factor: 1.000_000_1, jitter: 9),
        RedeliveryBackoff(initial: .zero),
    ])
    func neverTraps(_ backoff: RedeliveryBackoff) {
        for failures in [Int.min, 0, 1, 2, 1_000, .max] {
            for random in [0, UInt64.max] {
                #expect(backoff.delay(after: failures, random: random) >= .zero)
            }
        }
    }
}
