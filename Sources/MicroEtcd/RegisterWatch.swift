internal import CoreMetrics
internal import Logging
internal import Micro
internal import Synchronization

/// Follows one range of nodes in etcd, and tells those who watch it.
///
/// It reads what there is and watches from there on. When the stream ends, for whatever reason, it
/// begins anew with what there is then: an etcd that was restarted without its data can't be told
/// from one that went on, so no revision of before is relied on. Watchers get a snapshot each time,
/// and only what etcd says is deleted is told as removed.
final class RegisterWatch: Sendable {
    let feed: RegisterFeed
    private let range: EtcdKeyRange
    private let client: EtcdClient
    private let environment: Environment
    private let reader: RegisterReader
    private let state = Mutex(State())

    private struct State {
        var mirror: RegisterMirror?
        /// Why what is known may be out of date.
        var interruption: MicroError?
        var task: SpawnedTask?
    }

    init(
        _ range: EtcdKeyRange, client: EtcdClient, reader: RegisterReader,
        numbering: RegisterNumbering, environment: Environment
    ) {
        self.range = range
        self.client = client
        self.reader = reader
        self.environment = environment
        self.feed = RegisterFeed(numbering: numbering)
    }

    /// Begins to follow, or tells a new watcher what is known.
    ///
    /// - Parameter mayEnd: Called now and then, to ask ``endIfUnwatched()``. Returns its answer.
    func start(_ mayEnd: @escaping @Sendable () -> Bool) {
        state.withLock { state in
            if let error = state.interruption {
                feed.interrupt(error)
            } else if let mirror = state.mirror, feed.needsNodes {
                feed.replace(with: mirror.nodes)
            }
            guard state.task == nil else { return }
            state.task = Context.unbound {
                environment.spawn { await self.run(mayEnd) }
            }
        }
    }

    /// Forgets what is known when nobody watches. - Returns: Whether that is so.
    func endIfUnwatched() -> Bool {
        state.withLock { state in
            guard !feed.isWatched else { return false }
            state = State()
            return true
        }
    }

    /// Ends all watches.
    func close() {
        feed.finish()
        stop()
    }

    func stop() { state.withLock { $0.task.take() }?.cancel() }

    // MARK: Following

    /// How long a range is followed that nobody watches.
    private static let lingering = Duration.seconds(5)

    private func run(_ mayEnd: @escaping @Sendable () -> Bool) async {
        let clock = environment.clock
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.follow() }
            group.addTask {
                repeat {
                    do { try await clock.sleep(for: Self.lingering) } catch { return }
                } while !mayEnd()
            }
            await group.next()
            group.cancelAll()
        }
    }

    private func follow() async {
        let failures = Atomic<Int>(0)
        while !Task.isCancelled {
            do {
                try await followOnce { failures.store(0, ordering: .relaxed) }
            } catch {
                guard !Task.isCancelled else { return }
                let count = failures.wrappingAdd(1, ordering: .relaxed).newValue
                // The first time it may only be this member that has gone.
                if count > 1 { interrupt(MicroError(error, id: "register.etcd")) }
                let pause = Backoff.pause(after: count, random: environment.random())
                try? await environment.clock.sleep(for: pause)
            }
        }
    }

    private func followOnce(_ isFollowing: @escaping @Sendable () -> Void) async throws {
        let mirror = try await reader.read(range, skippingAt: .warning)
        begin(mirror)
        var options = EtcdWatchOptions(startRevision: mirror.nextRevision)
        options.notifiesProgress = true
        try await client.watch(range, options) { changes in
            isFollowing()
            for try await batch in changes { self.apply(batch) }
        }
        throw MicroError("register.etcd", .unavailable, "\(client.describe()) has ended the watch")
    }

    private func begin(_ mirror: RegisterMirror) {
        state.withLock { state in
            state.mirror = mirror
            state.interruption = nil
            // What is missing was not seen to be removed: whoever knew it decides what to do.
            feed.replace(with: mirror.nodes, isAnew: true)
        }
    }

    private func apply(_ batch: EtcdChangeBatch) {
        let skipped = state.withLock { state -> [RegisterMirror.Skipped] in
            let changes = state.mirror?.apply(batch) ?? []
            let skipped = state.mirror?.takeSkipped() ?? []
            reader.count(skipped)
            for change in changes {
                switch change {
                case .put(let node): feed.register(node)
                case .removed(let node): feed.deregister(node)
                }
            }
            return skipped
        }
        reader.log(skipped)
    }

    private func interrupt(_ error: MicroError) {
        state.withLock { state in
            state.interruption = error
            feed.interrupt(error)
        }
    }
}

/// Reads nodes from etcd, and counts what is none.
final class RegisterReader: Sendable {
    private let client: EtcdClient
    private let logger: Logger
    private let skippedCount = Atomic<Int>(0)

    /// So many nodes are kept of a range. Each watch costs as much memory as they take.
    static let nodesMax = 100_000
    private static let pageMax: Int64 = 512

    init(client: EtcdClient, logger: Logger) {
        self.client = client
        self.logger = logger
    }

    /// How many values were skipped so far.
    var skipped: Int { skippedCount.load(ordering: .relaxed) }

    /// All nodes of a range as they were at one moment.
    ///
    /// - Parameter level: How loud to say what was skipped.
    /// - Throws: ``MicroError``.
    func read(
        _ range: EtcdKeyRange, skippingAt level: Logger.Level
    ) async throws -> RegisterMirror {
        var limit = Self.pageMax
        var rest = range
        var mirror: RegisterMirror?
        while true {
            let page: EtcdRangeAnswer
            do {
                page = try await client.get(rest, limit: limit, revision: mirror?.revision ?? 0)
            } catch let error as MicroError where error.matches(.resourceExhausted) && limit > 1 {
                limit /= 4  // the nodes are large: fewer fit into an answer
                limit = max(1, limit)
                continue
            }
            var known =
                mirror
                ?? RegisterMirror(revision: page.header.revision, nodesMax: Self.nodesMax)
            known.load(page.keyValues)
            let skipped = known.takeSkipped()
            count(skipped)
            log(skipped, at: level)
            mirror = known
            guard page.hasMore, let last = page.keyValues.last else { return known }
            rest = rest.after(last.key)
        }
    }

    /// Counts what was skipped.
    func count(_ skipped: [RegisterMirror.Skipped]) {
        guard !skipped.isEmpty else { return }
        skippedCount.wrappingAdd(skipped.count, ordering: .relaxed)
        Counter(label: "micro_register_skipped_total", dimensions: [("register", "etcd")])
            .increment(by: skipped.count)
    }

    /// Says what was skipped.
    func log(_ skipped: [RegisterMirror.Skipped], at level: Logger.Level = .warning) {
        for item in skipped.prefix(Self.linesMax) {
            logger.log(
                level: level, "a value in etcd is no node: skipped",
                metadata: ["key": "\(item.key)", "reason": "\(item.reason)"])
        }
    }

    /// One poisoned register does not fill a log.
    private static let linesMax = 10
}
