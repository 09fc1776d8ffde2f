import Testing

@testable import Micro

@Suite struct KeptViewTests {
    private let down = MicroError("register", .unavailable, "it is down")
    private func at(_ seconds: UInt64) -> EventLoopClock.Instant {
        EventLoopClock.Instant(nanoseconds: seconds * 1_000_000_000)
    }
    private func ids(_ view: KeptView) -> [String] { view.nodes.map(\.id) }

    @Test func eventsBecomeNodes() {
        var view = KeptView()
        #expect(!view.isLoaded)
        #expect(view.apply(.snapshot([]), now: at(1)) == .init(isChanged: true))
        #expect(view.isLoaded)
        #expect(view.apply(.added(testNode("b")), now: at(1)).isChanged)
        #expect(view.apply(.added(testNode("a")), now: at(1)).isChanged)
        #expect(ids(view) == ["a", "b"])
        #expect(!view.apply(.snapshot([testNode("a"), testNode("b")]), now: at(1)).isChanged)
        #expect(view.apply(.removed(testNode("a")), now: at(1)).isChanged)
        #expect(view.apply(.removed(testNode("b")), now: at(1)).isChanged)
        #expect(ids(view) == [])
    }

    @Test func ageIsTheTimeSinceContactWasLost() {
        var view = KeptView()
        _ = view.apply(.snapshot([testNode("a")]), now: at(1))
        #expect(view.age(now: at(9)) == .zero)
        #expect(!view.apply(.interrupted(down), now: at(10)).isChanged)
        #expect(!view.apply(.interrupted(down), now: at(12)).isChanged)
        #expect(view.age(now: at(15)) == .seconds(5))
        #expect(ids(view) == ["a"])
        #expect(view.interruption == down)
        _ = view.apply(.snapshot([testNode("a")]), now: at(16))
        #expect(view.age(now: at(17)) == .zero)
        #expect(view.interruption == nil)
    }

    @Test func nodesLostAllAtOnceAreHeldUntilTheyComeBackOrTheGraceEnds() {
        var view = KeptView()
        _ = view.apply(.snapshot([testNode("a"), testNode("b")]), now: at(1))
        let effect = view.apply(.snapshot([]), now: at(2))
        #expect(effect == .init(isChanged: false, grace: 1))
        #expect(ids(view) == ["a", "b"])
        var changed = testNode("a")
        changed.weight = 5
        #expect(view.apply(.added(changed), now: at(3)).isChanged)
        #expect(view.nodes.map(\.weight) == [5, 100])
        #expect(view.apply(.removed(changed), now: at(4)).isChanged)  // it was really removed
        #expect(ids(view) == ["b"])
        #expect(view.endGrace(99) == false)
        #expect(view.endGrace(1) == true)
        #expect(ids(view) == [])
    }

    @Test func aSecondLossHasItsOwnGrace() {
        var view = KeptView()
        _ = view.apply(.snapshot([testNode("a")]), now: at(1))
        #expect(view.apply(.snapshot([]), now: at(2)).grace == 1)
        _ = view.apply(.added(testNode("a")), now: at(3))
        #expect(view.apply(.snapshot([]), now: at(4)).grace == 2)
        #expect(view.endGrace(1) == false)
        #expect(ids(view) == ["a"])
        #expect(view.endGrace(2) == true)
    }

    @Test func aSnapshotThatWasAskedForIsTakenAsItIs() {
        var view = KeptView()
        _ = view.apply(.snapshot([testNode("a")]), now: at(1))
        view.expectRefresh()
        #expect(view.apply(.snapshot([]), now: at(2)) == .init(isChanged: true))
        #expect(ids(view) == [])
    }

    @Test func someNodesMissingIsNoLossOfAll() {
        var view = KeptView()
        _ = view.apply(.snapshot([testNode("a"), testNode("b")]), now: at(1))
        #expect(view.apply(.snapshot([testNode("b")]), now: at(2)) == .init(isChanged: true))
        #expect(ids(view) == ["b"])
    }

    /// Half of the nodes may go in a moment; with more than that, the register is mistaken.
    @Test(arguments: [
        (1, 0, 1), (2, 1, 1), (3, 1, 3), (3, 2, 2), (4, 2, 2), (4, 1, 4), (10, 4, 10),
    ])
    func moreThanHalfOfTheNodesAreHeld(before: Int, after: Int, kept: Int) {
        var view = KeptView()
        let nodes = (0..<before).map { testNode("n\($0)") }
        _ = view.apply(.snapshot(nodes), now: at(1))
        let effect = view.apply(.snapshot(Array(nodes.prefix(after))), now: at(2))
        #expect(view.nodes.count == kept)
        #expect((effect.grace != nil) == (kept > after))
        if let grace = effect.grace {
            #expect(view.endGrace(grace) == true)
            #expect(view.nodes.count == after)
        }
    }

    /// A register that says now this and now that does not keep the dead for ever.
    @Test func aFlappingRegisterDoesNotExtendAGrace() {
        var view = KeptView()
        let all = ["a", "b", "c"].map { testNode($0) }
        _ = view.apply(.snapshot(all), now: at(1))
        #expect(view.apply(.snapshot([]), now: at(2)).grace == 1)
        _ = view.apply(.snapshot(Array(all.prefix(2))), now: at(3))  // c is dead
        #expect(view.apply(.snapshot([]), now: at(4)).grace == 2)
        #expect(ids(view) == ["a", "b", "c"])
        #expect(view.endGrace(1) == true)
        #expect(ids(view) == ["a", "b"])
        #expect(view.endGrace(2) == true)
        #expect(ids(view) == [])
    }

    @Test func tooManyNodesAreNotTaken() {
        var view = KeptView(nodesMax: 2)
        let all = ["a", "b", "c"].map { testNode($0) }
        _ = view.apply(.snapshot(Array(all.prefix(2))), now: at(1))
        #expect(!view.apply(.snapshot(all), now: at(2)).isChanged)
        #expect(view.interruption?.code == .resourceExhausted)
        #expect(view.age(now: at(5)) == .seconds(3))
        #expect(ids(view) == ["a", "b"])
        #expect(!view.apply(.added(all[2]), now: at(6)).isChanged)
        var changed = all[0]
        changed.weight = 7
        #expect(view.apply(.updated(changed), now: at(7)).isChanged)
        #expect(view.interruption == nil)
    }
}
