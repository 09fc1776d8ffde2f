import Testing

@testable import Micro

@Suite struct SelectorTests {
    @Test(arguments: [("random", Selector.random), ("round_robin", .roundRobin), ("p2c", .p2c)])
    func hasAName(name: String, selector: Selector) {
        #expect(Selector(named: name) == selector)
    }

    @Test(arguments: ["", "P2C", "least_loaded", "round robin"])
    func unknownNamesAreNone(name: String) { #expect(Selector(named: name) == nil) }

    @Test func theyDiffer() {
        #expect(Set([Selector.random, .roundRobin, .p2c]).count == 3)
        #expect(ClientOptions().selector == .p2c)
        #expect(Selector.roundRobin.description == "round robin")
    }
}
