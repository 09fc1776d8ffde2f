import Testing

@testable import Micro

@Suite struct EndpointPaceTests {
    private let second: UInt64 = 1_000_000_000

    @Test func aFewSlowCallsAreNoSlowEndpoint() {
        var pace = EndpointPace()
        for call in 0..<100 { pace.note(call % 4 == 0 ? 20_000_000 : 2_000, at: second) }
        #expect(!pace.isSlow(at: second))
    }

    @Test func slowCallsAreBelievedForAWhile() {
        var pace = EndpointPace()
        for _ in 0..<4 { pace.note(20_000_000, at: second) }
        #expect(pace.isSlow(at: 2 * second))
        #expect(!pace.isSlow(at: 12 * second))
    }

    @Test func anEndpointThatBecomesQuickIsQuickAgain() {
        var pace = EndpointPace()
        for _ in 0..<20 { pace.note(1_000_000, at: second) }
        for _ in 0..<5 { pace.note(1_000, at: 12 * second) }
        #expect(!pace.isSlow(at: 12 * second))
    }

    @Test func whatIsQuickIsSeldomMeasured() {
        var pace = EndpointPace()
        var measured = 0
        for _ in 0..<80 where pace.measuresNext() {
            pace.note(1_000, at: second)
            measured += 1
        }
        #expect(measured == 10)
        pace.note(100_000, at: second)
        #expect(pace.measuresNext() && pace.measuresNext())
    }
}
