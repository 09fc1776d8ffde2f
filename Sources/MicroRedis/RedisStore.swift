public import Logging
public import Micro
internal import Synchronization

/// A store in Redis 6 or later, which any number of processes share.
///
/// Reads and writes of one key are linearizable, and so are batches, which are one script each. All
/// of a store lies under one prefix, on one node of a cluster. Times to live are measured on
/// Redis's clock.
///
/// What a commit that has returned survives is Redis's to say: with `appendfsync always` a power
/// cut, with `everysec` it may lose a second, and a replica that takes over may lack the last
/// commits. A watch finds out that the store went back, and says so with `CHANGES_COMPACTED`. Redis
/// must not evict (`maxmemory-policy noeviction`, its default): a store that was evicted is empty.
/// A commit whose answer was lost throws `unavailable` with ``MicroError/wasWritten``: it may have
/// been done.
public final class RedisStore: Store {
    /// "redis".
    public var name: String { "redis" }

    /// What makes stores of "redis:", "rediss:", "valkey:" and "valkeys:" URLs:
    /// `makeStore(url: url, engines: RedisStore.engines)`.
    public static var engines: [String: StoreFactory] {
        let make: StoreFactory = { url, environment, codecs in
            try RedisStore(url: url.description, environment: environment, codecs: codecs)
        }
        return Dictionary(uniqueKeysWithValues: RedisURL.schemes.map { ($0.name, make) })
    }

    /// Where time and tasks come from.
    public let environment: Environment

    /// What the typed forms encode and decode with.
    public let codecs: Codecs

    /// What it holds at most.
    public let limits: StoreLimits

    private let place: RedisStorePlace
    private let watches: RedisStoreWatches
    private let reaper: Alarm
    private let isClosed = Atomic<Bool>(false)
    private let isLookedAt = Atomic<Bool>(false)
    private let logger: Logger

    /// A store that connects when it is first used.
    ///
    /// - Throws: ``MicroError`` `invalidArgument`: what is wrong with the options.
    public init(
        _ options: RedisStoreOptions = RedisStoreOptions(), environment: Environment = .current,
        codecs: Codecs = Codecs(), logger: Logger = Logger(label: "micro.store")
    ) throws {
        try options.validate()
        self.environment = environment
        self.codecs = codecs
        self.limits = options.limits
        self.logger = logger
        let redis = RedisClient(options.redis, environment: environment, logger: logger)
        place = RedisStorePlace(options, redis)
        let reference = WeakReference<RedisStore>()
        reaper = Alarm(environment: environment) { reference.object?.reap() }
        watches = RedisStoreWatches(
            place, reaper: reaper, interval: options.pollInterval, environment: environment)
        reference.object = self
    }

    /// A store at a URL; see ``RedisStoreOptions/init(url:)``.
    public convenience init(
        url: String, environment: Environment = .current, codecs: Codecs = Codecs(),
        logger: Logger = Logger(label: "micro.store")
    ) throws {
        try self.init(
            RedisStoreOptions(url: url), environment: environment, codecs: codecs, logger: logger)
    }

    /// The record at `key`. See ``Store``.
    public func record(_ key: String) async throws -> StoreRecord? {
        try limits.check(key: key)
        try checkOpen("store.read")
        return try await place.record(key)
    }

    /// Keys in order. See ``Store``. A page isn't a snapshot: what changes while it is made may be
    /// in it or not.
    public func list(_ query: StoreQuery) async throws -> StorePage {
        try query.validate()
        try checkOpen("store.list")
        var walk = RedisStoreWalk(query)
        while let arguments = walk.next {
            let (word, values) = try await place.run(
                RedisStoreScripts.list, "store.list", arguments, isIdempotent: true)
            guard word == "OK", walk.take(values) else { throw place.misunderstood("store.list") }
        }
        return walk.page
    }

    /// Does all of a batch, or nothing. See ``Store``.
    @discardableResult
    public func commit(_ batch: StoreBatch) async throws -> StoreCommit {
        try limits.check(batch)
        try checkOpen("store.commit")
        let (word, values) = try await place.run(
            RedisStoreScripts.commit, "store.commit", RedisStoreBatch.arguments(batch, limits),
            isIdempotent: false)
        let commit = try RedisStoreBatch.result(of: batch, word, values, limits)
        guard let commit else { throw place.misunderstood("store.commit") }
        if let first = RedisStoreBatch.firstExpiry(batch) {
            reaper.arm(at: environment.clock.now.advanced(by: first))
        }
        return commit
    }

    /// Watches keys. See ``Store``.
    public func changes(prefix: String, from revision: UInt64?) async throws -> StoreChanges {
        try checkOpen("store.changes")
        return try await watches.watch(prefix: prefix, from: revision)
    }

    /// Closes the store and its connections. See ``Store``.
    public func close() async {
        isClosed.store(true, ordering: .releasing)
        reaper.stop()
        watches.close()
        await place.redis.close()
    }

    private func checkOpen(_ operation: String) throws {
        try Task.checkCancellation()
        if isClosed.load(ordering: .acquiring) { throw StoreRefusal.closed(operation) }
        if !isLookedAt.exchange(true, ordering: .relaxed) { warnOfEviction() }
    }

    /// Says, once, when Redis may throw away what the store holds.
    private func warnOfEviction() {
        environment.spawn { [place, logger] in
            guard let policy = try? await place.evictionPolicy(), policy.hasPrefix("allkeys-")
            else {
                return
            }
            logger.warning(
                "redis may evict the records of the store: set maxmemory-policy to noeviction",
                metadata: ["policy": "\(policy)", "store": "\(place.redis.describe())"])
        }
    }

    /// Takes out what is over, so that watches of all processes see it in time. Whoever else uses
    /// the store does it, too, should this process be gone by then.
    private func reap() {
        environment.spawn { [place, reaper, environment] in
            var failures = 0
            while failures < 3 {
                do {
                    let facts = try await place.facts("store.reap")
                    guard let next = facts.untilExpiry else { return }
                    guard next == .zero else {
                        return reaper.arm(at: environment.clock.now.advanced(by: next))
                    }
                } catch {
                    failures += 1
                    let pause = Backoff.pause(after: failures, random: environment.random())
                    do { try await environment.clock.sleep(for: pause) } catch { return }
                }
            }
            // Without Redis there is nothing to take out; it is looked again later.
            reaper.arm(at: environment.clock.now.advanced(by: .seconds(5)))
        }
    }
}
