import Micro
import Testing

@Suite struct BackoffTests {
    @Test func pausesGrowAndAreRandom() {
        #expect(Backoff.pause(after: 1, random: 0) == .milliseconds(10))
        #expect(Backoff.pause(after: 1, random: 99) == .milliseconds(109))
        #expect(Backoff.pause(after: 3, random: 399) == .milliseconds(409))
        #expect(Backoff.pause(after: 1000, random: 4999) == .milliseconds(5009))
        #expect(Backoff.pause(after: 1000, random: .max) < .milliseconds(5010))
    }
}
