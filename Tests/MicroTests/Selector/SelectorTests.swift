import Testing

@testable import Micro

@Suite struct SelectorTests {
    @Test(arguments: Selector.all)
    func eachIsKnownByItsName(selector: Selector) {
        #expect(Selector(named: selector.description) == selector)
    }

    @Test(arguments: ["", "P2C", "least_loaded", "round robin"])
    func unknownNamesAreNone(name: String) { #expect(Selector(named: name) == nil) }

    @Test func theyDiffer() {
        #expect(Set(Selector.all).count == 7)
        #expect(Set(Selector.all.map(\.policy)).count == 7)
        #expect(ClientOptions().balancing.selector == .p2c)
        #expect(Selector.roundRobin.description == "round_robin")
    }
}
