/// A binary heap: the least element first.
struct MinHeap<Element: Comparable> {
    private var elements: [Element] = []

    init() {}

    var count: Int { elements.count }

    var first: Element? { elements.first }

    mutating func push(_ element: Element) {
        elements.append(element)
        siftUp(elements.count - 1)
    }

    mutating func popFirst() -> Element? {
        guard let last = elements.popLast() else { return nil }
        guard let first = elements.first else { return last }
        elements[0] = last
        siftDown(0)
        return first
    }

    /// Keeps the elements that `isIncluded` accepts: linear.
    mutating func filter(_ isIncluded: (Element) -> Bool) {
        elements = elements.filter(isIncluded)
        for index in stride(from: elements.count / 2 - 1, through: 0, by: -1) { siftDown(index) }
    }

    /// Adds all of another heap: linear when this one is empty.
    mutating func merge(_ other: MinHeap) {
        guard !elements.isEmpty else { return self = other }
        for element in other.elements { push(element) }
    }

    mutating func removeAll() { elements = [] }

    private mutating func siftUp(_ start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            guard elements[index] < elements[parent] else { return }
            elements.swapAt(index, parent)
            index = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        while true {
            var least = index
            let left = 2 * index + 1
            let right = left + 1
            if left < elements.count, elements[left] < elements[least] { least = left }
            if right < elements.count, elements[right] < elements[least] { least = right }
            guard least != index else { return }
            elements.swapAt(index, least)
            index = least
        }
    }
}

extension MinHeap: Sendable where Element: Sendable {}
