internal import Synchronization

/// The watches of a ``SQLiteStore``: they see the commits of this process at once, and those of
/// others when the file system says so, and by a look each second.
final class SQLiteStoreWatches: Sendable {
    private let place: SQLiteStorePlace
    private let readers: SQLiteStoreReaders
    private let state = Mutex(StoreWatchers())
    private let bell = WakeUp()
    private let monitor: SoleTask
    /// Is told when the next record expires.
    private let reaper: Alarm

    /// How often to look at the file without having been told to.
    private static let interval = Duration.seconds(1)
    /// How much the end of the log is read at once.
    private static let feedMax = 256

    init(_ place: SQLiteStorePlace, _ readers: SQLiteStoreReaders, reaper: Alarm) {
        self.place = place
        self.readers = readers
        self.reaper = reaper
        self.monitor = SoleTask(environment: place.environment)
    }

    /// Something was committed. Any thread.
    func ring() { bell.ring() }

    func close() {
        perform { $0.close() }
        monitor.close()
    }

    /// See ``Store/changes(prefix:from:)``.
    func watch(prefix: String, from start: UInt64?) async throws -> StoreChanges {
        let position = try await readers.read("store.changes") { file, _ in
            let facts = try file.facts()
            let from = start ?? facts.revision + 1
            guard let position = try file.position(of: from) else {
                throw StoreRefusal.compacted(from, first: facts.forgotten + 1)
            }
            return position
        }
        let id = perform { $0.add(prefix: prefix, revision: start ?? 0, position: position) }
        startMonitor()
        return StoreChanges(source: Source(watches: self, id: id))
    }

    private struct Source: StoreChangeSource {
        let watches: SQLiteStoreWatches
        let id: UInt64

        func next() async throws -> StoreChange? { try await watches.next(id) }

        func abandon() { watches.perform { $0.remove(id) } }
    }

    // MARK: Taking

    private func next(_ id: UInt64) async throws -> StoreChange? {
        guard perform({ $0.enter(id) }) else { throw StoreRefusal.watchedTwice }
        defer { perform { $0.leave(id) } }
        while true {
            switch perform({ $0.step(id) }) {
            case .take(let change): return change
            case .end: return nil
            case .wait: try await wait(id)
            case .fetch(let prefix, let revision, let position):
                do {
                    let page = try await fetch(prefix, from: revision, after: position)
                    perform { $0.absorb(page, for: id) }
                } catch {
                    if perform({ $0.isClosed }) { return nil }
                    throw error
                }
            }
        }
    }

    private func wait(_ id: UInt64) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                perform { state in
                    state.park(continuation, for: id)
                    // Asked under the lock: a cancellation that comes later finds the waiter.
                    if Task.isCancelled { state.cancelPark(of: id) }
                }
            }
        } onCancel: {
            perform { $0.cancelPark(of: id) }
        }
    }

    private func fetch(
        _ prefix: String, from revision: UInt64, after position: UInt64
    ) async throws -> StoreWatchers.Page {
        try await readers.read("store.changes") { file, _ in
            let page = try file.page(
                after: position, prefix: prefix, count: StoreWatchers.bufferMax)
            guard let page else {
                throw StoreRefusal.compacted(revision, first: try file.facts().forgotten + 1)
            }
            return page
        }
    }

    // MARK: Feeding

    private func startMonitor() {
        monitor.begin { [weak self, bell, place] in
            var hint = await bell.listen(to: place.folder, in: place.environment)
            var failures = 0
            while let isWell = await self?.look() {
                failures = isWell ? 0 : failures + 1
                if hint == nil {
                    hint = await bell.listen(to: place.folder, in: place.environment)
                }
                let pause =
                    failures == 0
                    ? SQLiteStoreWatches.interval
                    : Backoff.pause(after: failures, random: place.environment.random())
                await bell.wait(atMost: pause, clock: place.environment.clock)
            }
            hint?.cancel()
        }
    }

    /// Feeds what is new.
    ///
    /// - Returns: Whether the file could be read; nil when nobody watches any more, or the store
    ///   was closed.
    private func look() async -> Bool? {
        while monitor.goesOn(while: { state.withLock { !$0.isEmpty && !$0.isClosed } }) {
            let tail = perform { $0.tail }
            do {
                let found = try await readers.read("store.changes") { file, now in
                    try Look(behind: tail, in: file, now: now)
                }
                perform { $0.feed(found.page, behind: tail, orFrom: found.end) }
                armReaper(found.untilExpiry)
                if found.page?.isLast ?? true { return true }
            } catch is CancellationError {
                return nil
            } catch {
                return false
            }
        }
        return nil
    }

    private func armReaper(_ untilExpiry: Duration?) {
        guard let untilExpiry else { return }
        reaper.arm(at: place.environment.clock.now.advanced(by: untilExpiry))
    }

    /// What the end of the log is like.
    private struct Look: Sendable {
        /// nil: some of it is forgotten.
        var page: StoreWatchers.Page?
        var end: UInt64
        var untilExpiry: Duration?

        init(behind tail: UInt64, in file: StoreFile, now: Int64) throws {
            let facts = try file.facts()
            page = try file.page(after: tail, prefix: "", count: SQLiteStoreWatches.feedMax)
            end = try file.position(of: facts.revision + 1) ?? tail
            untilExpiry = facts.nextExpiry.map { .milliseconds(max(0, $0 - now)) }
        }
    }

    /// Uses the state, and then, without the lock, resumes whom that concerns.
    @discardableResult
    private func perform<T: Sendable>(_ body: (inout StoreWatchers) -> sending T) -> T {
        let (result, woken) = state.withLock { state in
            let result = body(&state)
            return (result, state.takeWoken())
        }
        for (waiter, outcome) in woken { waiter.resume(with: outcome) }
        return result
    }
}

extension StoreFile {
    /// Changes behind `position`; nil: some of them are forgotten, or it is one of another file.
    fileprivate func page(
        after position: UInt64, prefix: String, count: Int
    ) throws -> StoreWatchers.Page? {
        let facts = try facts()
        guard let first = try self.position(of: facts.forgotten + 1), first <= position,
            let end = try self.position(of: facts.revision + 1), position <= end
        else { return nil }
        let found = try changes(
            after: position, prefix: prefix, count: count, bytes: StoreWatchers.bufferBytesMax)
        return StoreWatchers.Page(
            entries: try found.changes.map {
                StoreWatchers.Entry(position: $0.position, change: try StoreChange($0))
            }, end: found.end, isLast: found.isLast)
    }
}
