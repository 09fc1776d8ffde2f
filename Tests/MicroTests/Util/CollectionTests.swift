import Testing

@testable import Micro

/// The queues and sets underneath, against the standard library doing the same slowly.
@Suite struct CollectionTests {
    @Test(arguments: 1...5 as ClosedRange<UInt64>) func fifoIsAnArray(seed: UInt64) {
        var dice = SeededRandom(seed: seed)
        var fifo = Fifo<Int>()
        var model: [Int] = []
        for step in 0..<3_000 {
            switch Int.random(in: 0..<10, using: &dice) {
            case 0...3:
                fifo.append(step)
                model.append(step)
            case 4:
                fifo.prepend(step)
                model.insert(step, at: 0)
            case 5...7:
                #expect(fifo.popFirst() == (model.isEmpty ? nil : model.removeFirst()))
            case 8:
                let odd = Int.random(in: 2..<5, using: &dice)
                fifo.filter { $0 % odd != 0 }
                model.removeAll { $0 % odd == 0 }
            default:
                let wanted = model.randomElement(using: &dice) ?? -1
                #expect(fifo.removeFirst { $0 == wanted } == model.first { $0 == wanted })
                model.removeAll { $0 == wanted }
            }
            #expect(fifo.count == model.count)
            #expect(fifo.first == model.first)
            if let last = model.last { #expect(fifo[model.count - 1] == last) }
        }
        #expect(fifo.removeAll() == model)
        #expect(fifo.isEmpty)
    }

    @Test(arguments: 1...5 as ClosedRange<UInt64>) func heapSorts(seed: UInt64) {
        var dice = SeededRandom(seed: seed)
        var heap = MinHeap<Int>()
        var model: [Int] = []
        for _ in 0..<2_000 {
            if Bool.random(using: &dice) || model.isEmpty {
                let value = Int.random(in: 0..<500, using: &dice)
                heap.push(value)
                model.append(value)
            } else {
                let least = model.min()
                #expect(heap.first == least)
                #expect(heap.popFirst() == least)
                if let index = model.firstIndex(of: least ?? 0) { model.remove(at: index) }
            }
        }
        heap.filter { $0 % 3 != 0 }
        model.removeAll { $0 % 3 == 0 }
        var sorted: [Int] = []
        while let value = heap.popFirst() { sorted.append(value) }
        #expect(sorted == model.sorted())
        #expect(heap.first == nil)
    }

    @Test(arguments: 1...3 as ClosedRange<UInt64>) func keysAreSortedAndFound(seed: UInt64) {
        var dice = SeededRandom(seed: seed)
        var keys = SortedKeys()
        var model: Set<ExactKey> = []
        for _ in 0..<6_000 {
            let key = ExactKey("k\(Int.random(in: 0..<2_500, using: &dice))")
            if Int.random(in: 0..<3, using: &dice) > 0 {
                keys.insert(key)
                model.insert(key)
            } else {
                keys.remove(key)
                model.remove(key)
            }
        }
        #expect(keys.count == model.count)
        let sorted = model.sorted()
        for start in ["", "k1", "k1500", "k2499", "k3", "z"] {
            var walked: [ExactKey] = []
            keys.walk(from: ExactKey(start)) { key in
                walked.append(key)
                return true
            }
            #expect(walked == sorted.filter { $0 >= ExactKey(start) })
        }
        var some: [ExactKey] = []
        keys.walk(from: ExactKey("")) { key in
            some.append(key)
            return some.count < 7
        }
        #expect(some == Array(sorted.prefix(7)))
        for key in sorted.shuffled(using: &dice) { keys.remove(key) }
        #expect(keys.count == 0)
        keys.walk(from: ExactKey("")) { _ in
            Issue.record("a key is left")
            return true
        }
    }

    @Test func keysAreBytes() {
        let composed = "\u{e9}"
        let decomposed = "e\u{301}"
        #expect(composed == decomposed)
        #expect(ExactKey(composed) != ExactKey(decomposed))
        #expect(Set([ExactKey(composed), ExactKey(decomposed)]).count == 2)
        #expect(ExactKey("a") < ExactKey("b"))
        #expect(ExactKey("Z") < ExactKey("a"))
        #expect(ExactKey("\u{ffff}") < ExactKey("\u{10000}"))
        #expect(!decomposed.hasExactPrefix(composed))
        #expect(decomposed.hasExactPrefix("e"))
        #expect(decomposed.hasExactSuffix("\u{301}"))
        #expect("abc".hasExactSuffix("bc"))
        #expect(!"bc".hasExactSuffix("abc"))
    }
}
