import Testing

@testable import Micro

@Suite struct EndpointPaceTests {
    private let second: UInt64 = 1_000_000_000

    @Test func oneSlowCallIsNoSlowEndpoint() {
        var pace = EndpointPace()
        for _ in 0..<100 { pace.note(2_000, at: second) }
        pace.note(20_000_000, at: second)
        #expect(!pace.isSlow(at: second))
    }

    @Test func slowCallsInARowAreBelievedForAWhile() {
        var pace = EndpointPace()
        for _ in 0..<6 { pace.note(20_000_000, at: second) }
        #expect(pace.isSlow(at: 2 * second))
        #expect(!pace.isSlow(at: 12 * second))
    }

    @Test func anEndpointThatBecomesQuickIsQuickAgain() {
        var pace = EndpointPace()
        for _ in 0..<20 { pace.note(1_000_000, at: second) }
        for _ in 0..<10 { pace.note(1_000, at: 12 * second) }
        #expect(!pace.isSlow(at: 12 * second))
    }
}
