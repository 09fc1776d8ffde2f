/// A queue in a ring: constant time at both ends, amortised.
package struct Fifo<Element> {
    private var ring: [Element?] = []
    private var head = 0
    package private(set) var count = 0

    package init() {}

    package var isEmpty: Bool { count == 0 }

    package var first: Element? { count == 0 ? nil : ring[head] }

    /// The element at a place counted from the front, which must be less than ``count``.
    package subscript(offset: Int) -> Element {
        guard offset >= 0, offset < count, let element = ring[(head + offset) % ring.count] else {
            preconditionFailure("there is no element \(offset) of \(count)")
        }
        return element
    }

    package mutating func append(_ element: Element) {
        growIfFull()
        ring[(head + count) % ring.count] = element
        count += 1
    }

    package mutating func prepend(_ element: Element) {
        growIfFull()
        head = (head + ring.count - 1) % ring.count
        ring[head] = element
        count += 1
    }

    package mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = ring[head].take()
        head = (head + 1) % ring.count
        count -= 1
        return element
    }

    /// Keeps, in order, the elements that `isIncluded` accepts: linear.
    package mutating func filter(_ isIncluded: (Element) throws -> Bool) rethrows {
        var kept: [Element?] = []
        for offset in 0..<count {
            guard let element = ring[(head + offset) % ring.count] else { continue }
            if try isIncluded(element) { kept.append(element) }
        }
        ring = kept
        head = 0
        count = kept.count
    }

    /// Removes the first element that `matches`: linear.
    package mutating func removeFirst(where matches: (Element) -> Bool) -> Element? {
        var removed: Element?
        filter { element in
            guard removed == nil, matches(element) else { return true }
            removed = element
            return false
        }
        return removed
    }

    /// The elements in order, and an empty queue.
    package mutating func removeAll() -> [Element] {
        var all: [Element] = []
        all.reserveCapacity(count)
        while let element = popFirst() { all.append(element) }
        ring = []
        head = 0
        return all
    }

    private mutating func growIfFull() {
        guard count == ring.count else { return }
        var bigger: [Element?] = []
        bigger.reserveCapacity(max(8, ring.count * 2))
        for offset in 0..<count { bigger.append(ring[(head + offset) % ring.count]) }
        while bigger.count < max(8, ring.count * 2) { bigger.append(nil) }
        ring = bigger
        head = 0
    }
}

extension Fifo: Sendable where Element: Sendable {}
