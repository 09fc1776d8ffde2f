import Testing

@testable import Micro

@Suite struct ResolutionStateMachineTests {
    private let down = MicroError("register", .unavailable, "it is down")
    private func at(_ seconds: UInt64) -> EventLoopClock.Instant {
        EventLoopClock.Instant(nanoseconds: seconds * 1_000_000_000)
    }
    private func ids(_ machine: ResolutionStateMachine) -> [String] { machine.nodes.map(\.id) }

    @Test func eventsBecomeNodes() {
        var machine = ResolutionStateMachine()
        #expect(!machine.isLoaded)
        #expect(machine.apply(.snapshot([]), now: at(1)) == .init(isChanged: true))
        #expect(machine.isLoaded)
        #expect(machine.apply(.added(testNode("b")), now: at(1)).isChanged)
        #expect(machine.apply(.added(testNode("a")), now: at(1)).isChanged)
        #expect(ids(machine) == ["a", "b"])
        #expect(!machine.apply(.snapshot([testNode("a"), testNode("b")]), now: at(1)).isChanged)
        #expect(machine.apply(.removed(testNode("a")), now: at(1)).isChanged)
        #expect(machine.apply(.removed(testNode("b")), now: at(1)).isChanged)
        #expect(ids(machine) == [])
    }

    @Test func ageIsTheTimeSinceContactWasLost() {
        var machine = ResolutionStateMachine()
        _ = machine.apply(.snapshot([testNode("a")]), now: at(1))
        #expect(machine.age(now: at(9)) == .zero)
        #expect(!machine.apply(.interrupted(down), now: at(10)).isChanged)
        #expect(!machine.apply(.interrupted(down), now: at(12)).isChanged)
        #expect(machine.age(now: at(15)) == .seconds(5))
        #expect(ids(machine) == ["a"])
        #expect(machine.interruption == down)
        _ = machine.apply(.snapshot([testNode("a")]), now: at(16))
        #expect(machine.age(now: at(17)) == .zero)
        #expect(machine.interruption == nil)
    }

    @Test func nodesLostAllAtOnceAreHeldUntilTheyComeBackOrTheGraceEnds() {
        var machine = ResolutionStateMachine()
        _ = machine.apply(.snapshot([testNode("a"), testNode("b")]), now: at(1))
        let effect = machine.apply(.snapshot([]), now: at(2))
        #expect(effect == .init(isChanged: false, grace: 1))
        #expect(ids(machine) == ["a", "b"])
        var changed = testNode("a")
        changed.weight = 5
        #expect(machine.apply(.added(changed), now: at(3)).isChanged)
        #expect(machine.nodes.map(\.weight) == [5, 100])
        #expect(machine.apply(.removed(changed), now: at(4)).isChanged)  // it was really removed
        #expect(ids(machine) == ["b"])
        #expect(machine.endGrace(99) == false)
        #expect(machine.endGrace(1) == true)
        #expect(ids(machine) == [])
    }

    @Test func aSecondLossHasItsOwnGrace() {
        var machine = ResolutionStateMachine()
        _ = machine.apply(.snapshot([testNode("a")]), now: at(1))
        #expect(machine.apply(.snapshot([]), now: at(2)).grace == 1)
        _ = machine.apply(.added(testNode("a")), now: at(3))
        #expect(machine.apply(.snapshot([]), now: at(4)).grace == 2)
        #expect(machine.endGrace(1) == false)
        #expect(ids(machine) == ["a"])
        #expect(machine.endGrace(2) == true)
    }

    @Test func aSnapshotThatWasAskedForIsTakenAsItIs() {
        var machine = ResolutionStateMachine()
        _ = machine.apply(.snapshot([testNode("a")]), now: at(1))
        machine.expectRefresh()
        #expect(machine.apply(.snapshot([]), now: at(2)) == .init(isChanged: true))
        #expect(ids(machine) == [])
    }

    @Test func mostNodesMissingIsALossToo() {
        var machine = ResolutionStateMachine()
        let nodes = ["a", "b", "c"].map { testNode($0) }
        _ = machine.apply(.snapshot(nodes), now: at(1))
        _ = machine.apply(.interrupted(MicroError("x", .unavailable, "away")), now: at(2))
        // It was made anew, and one of them is quicker than the others.
        #expect(machine.apply(.snapshot([nodes[1]]), now: at(3)).grace == 1)
        #expect(ids(machine) == ["a", "b", "c"])
        // Contact is lost once more before the others are back.
        #expect(machine.apply(.snapshot([]), now: at(4)).grace == 2)
        #expect(ids(machine) == ["a", "b", "c"])
        _ = machine.apply(.snapshot([nodes[1], nodes[2]]), now: at(5))
        #expect(ids(machine) == ["a", "b", "c"])
        #expect(machine.endGrace(1) == false)
        #expect(machine.endGrace(2) == true)
        #expect(ids(machine) == ["b", "c"])
    }

    @Test func someNodesMissingIsNoLossOfAll() {
        var machine = ResolutionStateMachine()
        _ = machine.apply(.snapshot([testNode("a"), testNode("b")]), now: at(1))
        #expect(machine.apply(.snapshot([testNode("b")]), now: at(2)) == .init(isChanged: true))
        #expect(ids(machine) == ["b"])
    }

    @Test func idsOfSeveralNamespacesStayApart() {
        var machine = ResolutionStateMachine()
        var other = testNode("a")
        other.namespace = "test"
        _ = machine.apply(.snapshot([testNode("a"), other]), now: at(1))
        #expect(ids(machine) == ["micro/a", "test/a"])
    }
}
