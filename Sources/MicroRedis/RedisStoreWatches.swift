internal import Micro
internal import Synchronization

/// The watches of a ``RedisStore``: they see commits as soon as Redis tells about them, and by a
/// look now and then.
final class RedisStoreWatches: Sendable {
    private struct Seen: Sendable {
        var epoch: String
        var revision: UInt64
    }

    private struct State {
        var watchers = StoreWatchers()
        /// Goes up when the store turned out to have lost what was seen of it.
        var generation = 0
        /// The state of the store that was seen last.
        var seen = Seen(epoch: "", revision: 0)
        var channel: RedisMessages?
    }

    private let place: RedisStorePlace
    private let environment: Environment
    private let interval: Duration
    private let state = Mutex(State())
    private let bell = WakeUp()
    private let monitor: SoleTask
    /// Is told when the next record expires.
    private let reaper: Alarm

    /// How much of the end of the log is read at once.
    private static let feedMax = 256

    init(
        _ place: RedisStorePlace, reaper: Alarm, interval: Duration, environment: Environment
    ) {
        self.place = place
        self.reaper = reaper
        self.interval = interval
        self.environment = environment
        self.monitor = SoleTask(environment: environment)
    }

    deinit { state.withLock { $0.channel }?.close() }

    func close() {
        perform { $0.watchers.close() }
        monitor.close()
        state.withLock { $0.channel.take() }?.close()
    }

    /// See ``Store/changes(prefix:from:)``.
    func watch(prefix: String, from start: UInt64?) async throws -> StoreChanges {
        let before = seen
        let facts = try await place.facts("store.changes")
        note(facts, before)
        if let start, start <= facts.forgotten.revision {
            throw StoreRefusal.compacted(start, first: facts.forgotten.revision + 1)
        }
        let position = RedisStorePosition(before: start ?? facts.revision + 1)
        let source = perform { state in
            let id = state.watchers.add(
                prefix: prefix, revision: start ?? 0, position: position.number)
            return Source(watches: self, id: id, generation: state.generation)
        }
        startMonitor()
        return StoreChanges(source: source)
    }

    private struct Source: StoreChangeSource {
        let watches: RedisStoreWatches
        let id: UInt64
        let generation: Int

        func next() async throws -> StoreChange? { try await watches.next(self) }

        func abandon() { watches.perform { $0.watchers.remove(id) } }
    }

    private var seen: Seen { state.withLock { $0.seen } }

    /// A store that has another name, or is behind what was seen of it, has lost data.
    ///
    /// - Parameter before: What had been seen when it was asked: answers overtake each other.
    private func note(_ facts: RedisStoreFacts, _ before: Seen) {
        perform { state in
            let isLost =
                before.revision > 0
                && (before.epoch != facts.epoch || before.revision > facts.revision)
            guard isLost else {
                if state.seen.epoch != facts.epoch || state.seen.revision < facts.revision {
                    state.seen = Seen(epoch: facts.epoch, revision: facts.revision)
                }
                return
            }
            // Once is enough.
            guard state.seen.epoch == before.epoch, state.seen.revision >= before.revision else {
                return
            }
            state.seen = Seen(epoch: facts.epoch, revision: facts.revision)
            state.generation += 1
            state.watchers.stopFeeding(end: RedisStorePosition(behind: facts.revision).number)
        }
    }

    // MARK: Taking

    private func next(_ source: Source) async throws -> StoreChange? {
        let id = source.id
        guard perform({ $0.watchers.enter(id) }) else { throw StoreRefusal.watchedTwice }
        defer { perform { $0.watchers.leave(id) } }
        while true {
            try Task.checkCancellation()
            switch perform({ $0.watchers.step(id) }) {
            case .take(let change): return change
            case .end: return nil
            case .wait: try await wait(id)
            case .fetch(let prefix, let revision, let position):
                do {
                    let page = try await fetch(source, prefix, revision, position)
                    perform { $0.watchers.absorb(page, for: id) }
                } catch {
                    if perform({ $0.watchers.isClosed }) { return nil }
                    throw error
                }
            }
        }
    }

    private func wait(_ id: UInt64) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                perform { state in
                    state.watchers.park(continuation, for: id)
                    // Asked under the lock: a cancellation that comes later finds the waiter.
                    if Task.isCancelled { state.watchers.cancelPark(of: id) }
                }
            }
        } onCancel: {
            perform { $0.watchers.cancelPark(of: id) }
        }
    }

    private func fetch(
        _ source: Source, _ prefix: String, _ revision: UInt64, _ position: UInt64
    ) async throws -> StoreWatchers.Page {
        let from = RedisStorePosition(number: position)
        let before = seen
        let page = try await place.page(
            behind: from, prefix: prefix, count: StoreWatchers.bufferMax)
        note(page.facts, before)
        let isSame = state.withLock { $0.generation == source.generation }
        guard isSame, page.facts.forgotten <= from else {
            throw StoreRefusal.compacted(
                max(revision, from.revision), first: page.facts.forgotten.revision + 1)
        }
        return StoreWatchers.Page(
            entries: page.entries, end: page.end.number, isLast: page.isLast)
    }

    // MARK: Feeding

    private func startMonitor() {
        monitor.begin { [weak self, bell, environment, interval] in
            var failures = 0
            while let isWell = await self?.look() {
                failures = isWell ? 0 : failures + 1
                let pause =
                    failures == 0
                    ? interval : Backoff.pause(after: failures, random: environment.random())
                await bell.wait(atMost: pause, clock: environment.clock)
                if Task.isCancelled { return }
            }
        }
    }

    /// Feeds what is new.
    ///
    /// - Returns: Whether Redis could be asked; nil when nobody watches any more, or the store was
    ///   closed.
    private func look() async -> Bool? {
        do {
            // First, so that nothing happens between the look and the subscription.
            try await listen()
            while isWanted {
                let before = seen
                let tail = perform { $0.watchers.tail }
                let page = try await place.page(
                    behind: RedisStorePosition(number: tail), prefix: "", count: Self.feedMax)
                note(page.facts, before)
                feed(page, behind: tail)
                if page.isLast { return true }
            }
            state.withLock { $0.channel.take() }?.close()
            return nil
        } catch is CancellationError {
            return nil
        } catch {
            return isWanted ? false : nil
        }
    }

    private var isWanted: Bool {
        monitor.goesOn(while: {
            state.withLock { !$0.watchers.isEmpty && !$0.watchers.isClosed }
        })
    }

    private func feed(_ page: RedisStorePage, behind tail: UInt64) {
        let isWhole = page.facts.forgotten.number <= tail
        let read = StoreWatchers.Page(
            entries: page.entries, end: page.end.number, isLast: page.isLast)
        perform { state in
            state.watchers.feed(
                isWhole ? read : nil, behind: tail,
                orFrom: RedisStorePosition(behind: page.facts.revision).number)
        }
        guard let untilExpiry = page.facts.untilExpiry else { return }
        reaper.arm(at: environment.clock.now.advanced(by: untilExpiry))
    }

    /// Subscribes to the commits of all processes, unless that is done.
    private func listen() async throws {
        guard state.withLock({ $0.channel == nil }) else { return }
        let messages = try await place.redis.messages(of: [place.channel])
        let isWanted = state.withLock { state in
            guard !state.watchers.isClosed else { return false }
            state.channel = messages
            return true
        }
        guard isWanted else { return messages.close() }
        environment.spawn { [weak self, bell] in
            while true {
                do {
                    guard try await messages.next() != nil else { return }
                } catch {
                    self?.state.withLock { $0.channel = nil }
                    return bell.ring()
                }
                bell.ring()
            }
        }
    }

    /// Uses the state, and then, without the lock, resumes whom that concerns.
    @discardableResult
    private func perform<T: Sendable>(_ body: (inout State) -> sending T) -> T {
        let (result, woken) = state.withLock { state in
            let result = body(&state)
            return (result, state.watchers.takeWoken())
        }
        for (waiter, outcome) in woken { waiter.resume(with: outcome) }
        return result
    }
}
