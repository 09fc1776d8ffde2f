/// Who watches a store whose changes are a log with positions: pure bookkeeping, behind a lock.
///
/// One reader follows the end of the log and feeds those who have seen all before. Who is behind,
/// because it began in the past or takes its changes too slowly, fetches pages by itself until it
/// has caught up.
package struct StoreWatchers: Sendable {
    package typealias Waiter = CheckedContinuation<Void, any Error>

    /// A change, and where in the log it is.
    package struct Entry: Sendable {
        package var position: UInt64
        package var change: StoreChange

        package init(position: UInt64, change: StoreChange) {
            self.position = position
            self.change = change
        }
    }

    /// Changes one behind the other.
    package struct Page: Sendable {
        package var entries: [Entry]
        /// Everything up to here was looked at.
        package var end: UInt64
        /// Whether the log ended there.
        package var isLast: Bool

        package init(entries: [Entry], end: UInt64, isLast: Bool) {
            self.entries = entries
            self.end = end
            self.isLast = isLast
        }
    }

    /// What a watcher does next.
    package enum Step {
        case take(StoreChange)
        /// Read what is behind `position`, and ``absorb(_:for:)`` it.
        case fetch(prefix: String, revision: UInt64, position: UInt64)
        case wait
        case end
    }

    /// How many changes are kept for one watcher.
    package static let bufferMax = 64
    /// And, of more than one, how many bytes.
    package static let bufferBytesMax = 1 << 20

    fileprivate struct Watcher {
        let prefix: String
        /// Changes before this one are not wanted.
        let revision: UInt64
        /// All up to here is in the buffer, or was taken, or is not wanted.
        var position: UInt64
        var isFed: Bool
        var buffer = Fifo<StoreChange>()
        var bufferBytes = 0
        var isBusy = false
        var waiter: Waiter?
    }

    private var watchers: [UInt64: Watcher] = [:]
    /// In which they are told, so that a simulation repeats itself.
    private var order: [UInt64] = []
    private var lastID: UInt64 = 0
    private var woken: [(Waiter, Result<Void, any Error>)] = []
    /// Everything up to here was fed.
    package private(set) var tail: UInt64 = 0
    package private(set) var isClosed = false

    package init() {}

    package var isEmpty: Bool { watchers.isEmpty }

    /// Whom the caller has to resume, outside of the lock.
    package mutating func takeWoken() -> [(Waiter, Result<Void, any Error>)] {
        defer { woken = [] }
        return woken
    }

    /// - Parameters:
    ///   - revision: Changes before it are not wanted.
    ///   - position: What is behind it is.
    package mutating func add(prefix: String, revision: UInt64, position: UInt64) -> UInt64 {
        lastID += 1
        startFeeding(at: position)
        watchers[lastID] = Watcher(
            prefix: prefix, revision: revision, position: position, isFed: position >= tail)
        order.append(lastID)
        return lastID
    }

    /// When nobody is fed, what lies between is nobody's concern.
    private mutating func startFeeding(at position: UInt64) {
        if !watchers.values.contains(where: { $0.isFed }) { tail = position }
    }

    package mutating func remove(_ id: UInt64) {
        guard let watcher = watchers.removeValue(forKey: id) else { return }
        order.removeAll { $0 == id }
        if let waiter = watcher.waiter { woken.append((waiter, .success(()))) }
    }

    // MARK: Taking

    /// - Returns: false: another task is at it.
    package mutating func enter(_ id: UInt64) -> Bool {
        guard watchers[id]?.isBusy != true else { return false }
        watchers[id]?.isBusy = true
        return true
    }

    package mutating func leave(_ id: UInt64) { watchers[id]?.isBusy = false }

    package mutating func step(_ id: UInt64) -> Step {
        guard var watcher = watchers[id] else { return .end }
        if let change = watcher.buffer.popFirst() {
            watcher.bufferBytes -= change.byteCount
            watchers[id] = watcher
            return .take(change)
        }
        if isClosed { return .end }
        guard watcher.isFed else {
            return .fetch(
                prefix: watcher.prefix, revision: watcher.revision, position: watcher.position)
        }
        return .wait
    }

    /// Is resumed when there is something to do.
    package mutating func park(_ waiter: Waiter, for id: UInt64) {
        if case .wait = step(id) {
            watchers[id]?.waiter = waiter
        } else {
            woken.append((waiter, .success(())))
        }
    }

    package mutating func cancelPark(of id: UInt64) {
        guard let waiter = watchers[id]?.waiter.take() else { return }
        woken.append((waiter, .failure(CancellationError())))
    }

    /// What a watcher has fetched.
    package mutating func absorb(_ page: Page, for id: UInt64) {
        guard var watcher = watchers[id] else { return }
        for entry in page.entries { watcher.keep(entry.change) }
        watcher.position = page.end
        if page.isLast {
            startFeeding(at: page.end)
            watcher.isFed = page.end >= tail
        }
        watchers[id] = watcher
    }

    // MARK: Feeding

    /// What was read behind `position`, of all keys. When it is forgotten, each watcher has to look
    /// for itself, and those that catch up are fed from `end` on.
    package mutating func feed(_ page: Page?, behind position: UInt64, orFrom end: UInt64) {
        guard position == tail else { return }
        if let page { feed(page) } else { stopFeeding(end: end) }
    }

    private mutating func feed(_ page: Page) {
        for id in order {
            guard var watcher = watchers[id], watcher.isFed else { continue }
            for entry in page.entries where entry.position > watcher.position {
                guard watcher.wants(entry.change) else { continue }
                guard watcher.hasRoom else {
                    watcher.isFed = false
                    break
                }
                watcher.keep(entry.change)
                watcher.position = entry.position
            }
            if watcher.isFed { watcher.position = max(watcher.position, page.end) }
            watchers[id] = watcher
            wakeIfNeeded(id)
        }
        tail = page.end
    }

    /// Each watcher looks for itself what there is.
    package mutating func stopFeeding(end: UInt64) {
        tail = end
        for id in order {
            watchers[id]?.isFed = false
            wakeIfNeeded(id)
        }
    }

    private mutating func wakeIfNeeded(_ id: UInt64) {
        guard let watcher = watchers[id], !watcher.buffer.isEmpty || !watcher.isFed else { return }
        if let waiter = watchers[id]?.waiter.take() { woken.append((waiter, .success(()))) }
    }

    package mutating func close() {
        isClosed = true
        for id in order {
            if let waiter = watchers[id]?.waiter.take() { woken.append((waiter, .success(()))) }
        }
    }
}

extension StoreWatchers.Watcher {
    fileprivate var hasRoom: Bool {
        buffer.isEmpty
            || buffer.count < StoreWatchers.bufferMax && bufferBytes < StoreWatchers.bufferBytesMax
    }

    fileprivate func wants(_ change: StoreChange) -> Bool {
        change.revision >= revision && change.key.hasExactPrefix(prefix)
    }

    fileprivate mutating func keep(_ change: StoreChange) {
        guard wants(change) else { return }
        buffer.append(change)
        bufferBytes += change.byteCount
    }
}

extension StoreChange {
    fileprivate var byteCount: Int {
        guard case .written(let record) = kind else { return key.utf8.count }
        return key.utf8.count + record.value.count
    }
}
