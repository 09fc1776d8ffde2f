import Testing

@testable import Micro

@Suite struct StoreWatchersTests {
    private func page(
        _ keys: [String], after position: UInt64, isLast: Bool = true
    ) -> StoreWatchers.Page {
        let entries = keys.enumerated().map { index, key in
            let number = position + UInt64(index) + 1
            return StoreWatchers.Entry(
                position: number, change: StoreChange(key: key, revision: number, kind: .deleted))
        }
        return StoreWatchers.Page(
            entries: entries, end: position + UInt64(keys.count), isLast: isLast)
    }

    private func takeAll(_ id: UInt64, from watchers: inout StoreWatchers) -> [UInt64] {
        var revisions: [UInt64] = []
        while case .take(let change) = watchers.step(id) { revisions.append(change.revision) }
        return revisions
    }

    private func isWaiting(_ id: UInt64, in watchers: inout StoreWatchers) -> Bool {
        if case .wait = watchers.step(id) { true } else { false }
    }

    private func isBehind(
        _ id: UInt64, in watchers: inout StoreWatchers, at position: UInt64
    ) -> Bool {
        if case .fetch(_, _, position) = watchers.step(id) { true } else { false }
    }

    @Test func thoseAtTheEndAreFed() {
        var watchers = StoreWatchers()
        let all = watchers.add(prefix: "", revision: 0, position: 10)
        let some = watchers.add(prefix: "b", revision: 0, position: 10)
        #expect(watchers.tail == 10)
        watchers.feed(page(["a", "b", "c"], after: 10), behind: 10, orFrom: 13)
        #expect(takeAll(all, from: &watchers) == [11, 12, 13])
        #expect(takeAll(some, from: &watchers) == [12])
        #expect(isWaiting(all, in: &watchers) && isWaiting(some, in: &watchers))
        #expect(watchers.tail == 13)
    }

    @Test func whoBeginsLaterSeesNothingTwice() {
        var watchers = StoreWatchers()
        let first = watchers.add(prefix: "", revision: 0, position: 10)
        let ahead = watchers.add(prefix: "", revision: 0, position: 12)
        watchers.feed(page(["a", "b", "c"], after: 10), behind: 10, orFrom: 13)
        #expect(takeAll(first, from: &watchers) == [11, 12, 13])
        #expect(takeAll(ahead, from: &watchers) == [13])
    }

    @Test func whoBeginsInThePastCatchesUp() {
        var watchers = StoreWatchers()
        let now = watchers.add(prefix: "", revision: 0, position: 10)
        let past = watchers.add(prefix: "", revision: 3, position: 2)
        #expect(isBehind(past, in: &watchers, at: 2))
        watchers.feed(page(["x"], after: 10), behind: 10, orFrom: 11)
        #expect(isBehind(past, in: &watchers, at: 2))
        watchers.absorb(page(["a", "b", "c", "d"], after: 2, isLast: false), for: past)
        #expect(takeAll(past, from: &watchers) == [3, 4, 5, 6])
        // What it has read may end before what the others were fed.
        watchers.absorb(page(["a", "b", "c", "d"], after: 6), for: past)
        #expect(takeAll(past, from: &watchers) == [7, 8, 9, 10])
        #expect(isBehind(past, in: &watchers, at: 10))
        watchers.absorb(page(["x", "y"], after: 10), for: past)
        #expect(takeAll(past, from: &watchers) == [11, 12])
        #expect(isWaiting(past, in: &watchers))
        // Or behind it.
        watchers.feed(page(["y", "z"], after: 11), behind: 11, orFrom: 13)
        #expect(takeAll(past, from: &watchers) == [13])
        #expect(takeAll(now, from: &watchers) == [11, 12, 13])
    }

    @Test func theSlowFetchForThemselves() {
        var watchers = StoreWatchers()
        let slow = watchers.add(prefix: "", revision: 0, position: 0)
        let quick = watchers.add(prefix: "", revision: 0, position: 0)
        let keys = Array(repeating: "a", count: 50)
        watchers.feed(page(keys, after: 0), behind: 0, orFrom: 50)
        #expect(takeAll(quick, from: &watchers).count == 50)
        watchers.feed(page(keys, after: 50), behind: 50, orFrom: 100)
        #expect(takeAll(quick, from: &watchers).count == 50)
        let kept = takeAll(slow, from: &watchers)
        #expect(kept == Array(1...UInt64(StoreWatchers.bufferMax)))
        #expect(isBehind(slow, in: &watchers, at: UInt64(StoreWatchers.bufferMax)))
    }

    @Test func aGapIsForEachToFind() {
        var watchers = StoreWatchers()
        let one = watchers.add(prefix: "", revision: 0, position: 5)
        watchers.feed(nil, behind: 5, orFrom: 90)
        #expect(isBehind(one, in: &watchers, at: 5))
        #expect(watchers.tail == 90)
    }

    @Test func whatWasReadBeforeAMoveIsNotFed() {
        var watchers = StoreWatchers()
        let one = watchers.add(prefix: "", revision: 0, position: 5)
        watchers.remove(one)
        let two = watchers.add(prefix: "", revision: 0, position: 7)
        watchers.feed(page(["a", "b", "c"], after: 5), behind: 5, orFrom: 8)
        #expect(isWaiting(two, in: &watchers))
        #expect(watchers.tail == 7)
    }

    @Test func closingKeepsWhatWasFed() {
        var watchers = StoreWatchers()
        let one = watchers.add(prefix: "", revision: 0, position: 0)
        let past = watchers.add(prefix: "", revision: 0, position: 0)
        watchers.feed(page(["a"], after: 0), behind: 0, orFrom: 1)
        watchers.close()
        #expect(takeAll(one, from: &watchers) == [1])
        for id in [one, past] {
            _ = takeAll(id, from: &watchers)
            if case .end = watchers.step(id) {} else { Issue.record("\(id) goes on") }
        }
        let entries = [watchers.enter(one), watchers.enter(one)]
        #expect(entries == [true, false])
        watchers.leave(one)
        let again = watchers.enter(one)
        #expect(again)
    }
}
