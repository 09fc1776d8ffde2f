import Testing

@testable import Micro

@Suite struct RegisterTableTests {
    private func at(_ nanoseconds: UInt64) -> EventLoopClock.Instant {
        EventLoopClock.Instant(nanoseconds: nanoseconds)
    }

    @Test func registeringAddsUpdatesAndKeepsQuiet() {
        var table = RegisterTable()
        var node = testNode("a")
        #expect(table.register(node, until: at(10)) == [.added(node)])
        #expect(table.register(node, until: at(20)) == [])
        node.zone = "b"
        #expect(table.register(node, until: at(30)) == [.updated(node)])
        #expect(table.nextExpiry == at(30))
        #expect(table.deregister(node.key) == [.removed(node)])
        #expect(table.deregister(node.key) == [])
        #expect(table.isEmpty)
        #expect(table.nextExpiry == nil)
    }

    @Test func expiryIsInOrderAndExact() {
        var table = RegisterTable()
        _ = table.register(testNode("c"), until: at(20))
        _ = table.register(testNode("b"), until: at(30))
        _ = table.register(testNode("a"), until: at(20))
        #expect(table.expire(now: at(19)) == [])
        #expect(table.expire(now: at(20)) == [.removed(testNode("a")), .removed(testNode("c"))])
        #expect(table.nextExpiry == at(30))
        // A life that was made longer counts, one that was made shorter too.
        _ = table.register(testNode("b"), until: at(50))
        #expect(table.expire(now: at(49)) == [])
        _ = table.register(testNode("b"), until: at(5))
        #expect(table.expire(now: at(49)) == [.removed(testNode("b"))])
        #expect(table.isEmpty)
    }

    @Test func replacingTellsTheDifference() {
        var table = RegisterTable()
        #expect(
            table.replace(with: [testNode("b"), testNode("a")])
                == [.added(testNode("b")), .added(testNode("a"))])
        var changed = testNode("b")
        changed.weight = 7
        #expect(
            table.replace(with: [testNode("c"), changed])
                == [.added(testNode("c")), .updated(changed), .removed(testNode("a"))])
        #expect(table.replace(with: [changed, testNode("c")]) == [])
        #expect(table.expire(now: at(.max - 1)) == [])
    }

    @Test func filtersAndOrder() {
        var table = RegisterTable()
        var other = testNode("a", service: "pears")
        other.namespace = "test"
        for node in [other, testNode("b"), testNode("a")] { _ = table.register(node, until: at(9)) }
        let micro = RegisterFilter(service: nil, namespace: "micro")
        #expect(table.nodes(micro) == [testNode("a"), testNode("b")])
        #expect(table.nodes(RegisterFilter(service: "pears", namespace: "*")) == [other])
        #expect(table.nodes(RegisterFilter(service: "pears", namespace: "micro")) == [])
    }
}
