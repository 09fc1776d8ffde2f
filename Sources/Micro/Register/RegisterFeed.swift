internal import Synchronization

/// The watching half of a register, for those who write one: tell it what happened, and it tells
/// the watchers, each through a bounded queue of its own.
///
/// It keeps the nodes it was told of, so that a watcher that comes later, or is too slow, gets a
/// snapshot. Safe to use from any thread; calls that come one after the other are told in that
/// order.
public final class RegisterFeed: Sendable {
    private let state: Mutex<State>

    /// A feed that has to be told of nodes only while somebody watches, and forgets them
    /// afterwards.
    ///
    /// It has nothing to say until ``replace(with:)`` was called; see ``needsNodes``.
    /// - Parameter queueLimit: How many events of one watch may wait, at least 1, before they are
    ///   replaced by a snapshot.
    public convenience init(queueLimit: Int = 1024) {
        self.init(queueLimit: queueLimit, isTable: false, isLoaded: false)
    }

    /// - Parameters:
    ///   - isTable: It keeps the nodes, whether somebody watches or not.
    ///   - isLoaded: It knows already all there is to know.
    ///   - numbering: Where its revisions come from, when several feeds are those of one register.
    init(
        queueLimit: Int = 1024, isTable: Bool, isLoaded: Bool,
        numberedBy numbering: RegisterNumbering = RegisterNumbering()
    ) {
        self.state = Mutex(
            State(
                queueLimit: max(1, queueLimit), isTable: isTable, isLoaded: isLoaded,
                numbering: numbering))
    }

    /// A feed that numbers its events together with others: a register that has several.
    package convenience init(numbering: RegisterNumbering) {
        self.init(isTable: false, isLoaded: false, numberedBy: numbering)
    }

    /// Whether anybody watches.
    public var isWatched: Bool { state.withLock { !$0.watchers.isEmpty } }

    /// Whether somebody watches, and does not know yet what there is, or was interrupted: call
    /// ``replace(with:)``.
    public var needsNodes: Bool {
        state.withLock { !$0.watchers.isEmpty && (!$0.isLoaded || $0.interruption != nil) }
    }

    /// Whether it was told what there is since somebody has begun to watch.
    var isLoaded: Bool { state.withLock { $0.isLoaded } }

    /// Starts a watch.
    ///
    /// - Parameters:
    ///   - service: nil watches all services.
    ///   - namespace: ``RegisterNamespace/wildcard`` watches all of them.
    ///   - owner: What must live as long as the watch: the register.
    public func watch(
        _ service: String?, namespace: String, keeping owner: (any AnyObject & Sendable)? = nil
    ) -> RegisterEvents {
        let filter = RegisterFilter(service: service, namespace: namespace)
        let id = state.withLock { $0.addWatcher(filter) }
        return RegisterEvents(watch: Watch(id: id, feed: self, owner: owner))
    }

    /// Tells what there is now: watchers are told the difference to what there was, or get a
    /// snapshot when they have had none yet or were interrupted.
    ///
    /// - Parameters:
    ///   - nodes: In the order in which they were registered, for that is how they are told.
    ///   - isAnew: The register has lost its memory since: everybody gets a snapshot, for
    ///       what is missing has not been removed.
    public func replace(with nodes: [ServiceNode], isAnew: Bool = false) {
        state.withLock { state -> [Resumption] in
            guard !state.isFinished, state.isTable || !state.watchers.isEmpty else { return [] }
            if isAnew { state.isLoaded = false }
            state.load()
            return state.publish(state.table.replace(with: nodes))
        }.resume()
    }

    /// Tells that a node came, or that something about it is different.
    public func register(_ node: ServiceNode) {
        update { $0.register(node, until: EventLoopClock.Instant(nanoseconds: .max)) }
    }

    /// Tells that a node went.
    public func deregister(_ node: ServiceNode) { update { $0.deregister(node.key) } }

    /// Tells that the register cannot be reached. What is known stays; the next call that tells
    /// something gives every watcher a snapshot.
    public func interrupt(_ error: MicroError) {
        state.withLock { $0.interrupt(error) }.resume()
    }

    /// Ends all watches, and those that are started later at once.
    public func finish() {
        state.withLock { $0.finish() }.resume()
    }

    // MARK: For the registers of this module

    private func update(_ body: (inout RegisterTable) -> [RegisterEvent.Change]) {
        state.withLock { state -> [Resumption] in
            guard !state.isFinished, state.isLoaded else { return [] }
            if state.interruption != nil { state.load() }
            return state.publish(body(&state.table))
        }.resume()
    }

    /// Changes the table, tells the changes, and returns what is to be known of it; nil when the
    /// feed has ended.
    func withTable<T: Sendable>(
        _ body: (inout RegisterTable, inout [RegisterEvent.Change]) -> T
    ) -> T? {
        let (result, waiters) = state.withLock { state -> (T?, [Resumption]) in
            guard !state.isFinished else { return (nil, []) }
            var changes: [RegisterEvent.Change] = []
            let result = body(&state.table, &changes)
            return (result, state.publish(changes))
        }
        waiters.resume()
        return result
    }

    // MARK: Watches

    /// The place of a watcher in the feed; gives it up when it goes.
    final class Watch: Sendable {
        private let id: UInt64?
        private let feed: RegisterFeed
        private let owner: (any AnyObject & Sendable)?

        fileprivate init(id: UInt64?, feed: RegisterFeed, owner: (any AnyObject & Sendable)?) {
            self.id = id
            self.feed = feed
            self.owner = owner
        }

        deinit { cancel() }

        func cancel() {
            if let id { feed.removeWatcher(id) }
        }

        func next(isolation actor: isolated (any Actor)?) async -> RegisterEvent? {
            guard let id else { return nil }
            return await withTaskCancellationHandler {
                await withCheckedContinuation { feed.wait(id, $0) }
            } onCancel: {
                cancel()
            }
        }
    }

    private func wait(_ id: UInt64, _ continuation: CheckedContinuation<RegisterEvent?, Never>) {
        let event: RegisterEvent?? = state.withLock { state in
            guard state.watchers[id] != nil else { return .some(nil) }
            if let event = state.takeEvent(id) { return event }
            state.watchers[id]?.waiters.append(continuation)
            return nil
        }
        if let event { continuation.resume(returning: event) }
    }

    private func removeWatcher(_ id: UInt64) {
        let watcher = state.withLock { $0.removeWatcher(id) }
        guard let watcher else { return }
        for waiter in watcher.waiters { waiter.resume(returning: nil) }
    }
}

/// The revisions of the events of one register, each higher than those before. Any thread.
package final class RegisterNumbering: Sendable {
    private let last = Atomic<UInt64>(0)

    package init() {}

    func next() -> UInt64 { last.wrappingAdd(1, ordering: .relaxed).newValue }
}

// MARK: - State

/// A consumer that waited, and what it gets: resumed when the lock is free again.
private struct Resumption: Sendable {
    var continuation: CheckedContinuation<RegisterEvent?, Never>
    var event: RegisterEvent?
}

extension [Resumption] {
    fileprivate func resume() {
        for item in self { item.continuation.resume(returning: item.event) }
    }
}

private struct Watcher {
    let filter: RegisterFilter
    var queue = ArraySlice<RegisterEvent>()
    /// The queue is empty, and a snapshot is made when the consumer asks.
    var needsSnapshot = true
    /// Not told yet.
    var interruption: MicroError?
    var waiters: [CheckedContinuation<RegisterEvent?, Never>] = []
}

private struct State {
    let queueLimit: Int
    let isTable: Bool
    var table = RegisterTable()
    /// Whether the table says what there is.
    var isLoaded: Bool
    var interruption: MicroError?
    let numbering: RegisterNumbering
    var watchers: [UInt64: Watcher] = [:]
    var lastWatcher: UInt64 = 0
    var isFinished = false

    mutating func addWatcher(_ filter: RegisterFilter) -> UInt64? {
        guard !isFinished else { return nil }
        lastWatcher += 1
        var watcher = Watcher(filter: filter)
        watcher.interruption = interruption
        watchers[lastWatcher] = watcher
        return lastWatcher
    }

    mutating func removeWatcher(_ id: UInt64) -> Watcher? {
        let watcher = watchers.removeValue(forKey: id)
        if watchers.isEmpty, !isTable {
            table = RegisterTable()
            isLoaded = false
            interruption = nil
        }
        return watcher
    }

    mutating func finish() -> [Resumption] {
        isFinished = true
        table = RegisterTable()
        let waiters = watchers.keys.sorted().flatMap { watchers[$0]?.waiters ?? [] }
        watchers = [:]
        return waiters.map { Resumption(continuation: $0, event: nil) }
    }

    /// The table says what there is from now on.
    mutating func load() {
        guard !isLoaded || interruption != nil else { return }
        isLoaded = true
        interruption = nil
        for id in watchers.keys {
            watchers[id]?.needsSnapshot = true
            watchers[id]?.queue = []
            watchers[id]?.interruption = nil
        }
    }

    mutating func interrupt(_ error: MicroError) -> [Resumption] {
        guard !isFinished, interruption == nil else { return [] }
        interruption = error
        for id in watchers.keys { watchers[id]?.interruption = error }
        return serveWaiters()
    }

    mutating func publish(_ changes: [RegisterEvent.Change]) -> [Resumption] {
        for change in changes {
            let revision = numbering.next()
            for id in watchers.keys { enqueue(change, revision, for: id) }
        }
        return serveWaiters()
    }

    private mutating func enqueue(
        _ change: RegisterEvent.Change, _ revision: UInt64, for id: UInt64
    ) {
        guard let watcher = watchers[id], !watcher.needsSnapshot,
            let part = change.filtered(watcher.filter)
        else { return }
        if watcher.queue.count < queueLimit {
            watchers[id]?.queue.append(RegisterEvent(part, revision: revision))
        } else {
            watchers[id]?.queue = []
            watchers[id]?.needsSnapshot = true
        }
    }

    private mutating func serveWaiters() -> [Resumption] {
        var resumptions: [Resumption] = []
        for id in watchers.keys.sorted() {  // in one order, so that a simulation repeats
            while let waiter = watchers[id]?.waiters.first, let event = takeEvent(id) {
                watchers[id]?.waiters.removeFirst()
                resumptions.append(Resumption(continuation: waiter, event: event))
            }
        }
        return resumptions
    }

    /// What the watcher is to be told next; nil when that has not happened yet.
    mutating func takeEvent(_ id: UInt64) -> RegisterEvent? {
        guard let watcher = watchers[id] else { return nil }
        if watcher.needsSnapshot, isLoaded {
            watchers[id]?.needsSnapshot = false
            return RegisterEvent(
                .snapshot(table.nodes(watcher.filter)), revision: numbering.next())
        }
        if let event = watchers[id]?.queue.popFirst() { return event }
        guard let error = watcher.interruption else { return nil }
        watchers[id]?.interruption = nil
        return RegisterEvent(.interrupted(error), revision: numbering.next())
    }
}
