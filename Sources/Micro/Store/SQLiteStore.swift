public import Logging
internal import Synchronization

/// A store in a SQLite file, for one process or for several of one machine.
///
/// A commit that has returned is on disk: it survives the end of the process and, with the default
/// ``SQLiteStoreOptions/durability``, a power cut. Commits that come at the same time share one
/// wait for the disk. Reads go on beside them, and see every commit that has returned. Watches see
/// the commits of other processes, too, and can go on where one of an earlier run has ended.
///
/// Nothing is opened before it is used. The file needs a local file system: not NFS.
///
/// Beside what ``Store`` says, its calls throw ``MicroError``: `unavailable` (another process
/// writes, reason `STORE_BUSY`; the disk fails, reason `STORE_FAILED`), `resourceExhausted` (the
/// disk is full, reason `DISK_FULL`; too many calls wait, reason `STORE_BUSY`), `deadlineExceeded`
/// (its turn did not come in time), `dataLoss` (the file is damaged), `failedPrecondition` (it is
/// not a store), `permissionDenied`. A commit that fails did not happen, with one exception: when
/// the disk fails while it is written nobody knows; then ``MicroError/wasWritten`` is true.
///
/// Cancelling a commit that waits for its turn takes it back; one that has begun is waited for, and
/// what it returns or throws is true.
public final class SQLiteStore: Store {
    /// "sqlite".
    public var name: String { "sqlite" }

    /// Where time, tasks and worker threads come from.
    public let environment: Environment

    /// What the typed forms encode and decode with.
    public let codecs: Codecs

    /// The file.
    public let path: String

    /// How the file is kept.
    public let options: SQLiteStoreOptions

    private let writer: SQLiteStoreWriter
    private let commits: StoreQueue<StoreBatch, StoreCommit>
    private let readers: SQLiteStoreReaders
    private let watches: SQLiteStoreWatches
    private let reaper: Alarm
    private let closing = Mutex<SpawnedTask?>(nil)

    /// Operations and checks that one transaction does, when they are of more than one commit.
    private static let groupMax = 4_096

    /// A store in a file that is chosen by whoever calls.
    ///
    /// - Parameters:
    ///   - path: The file, absolute, in a folder that exists. It is made when it is missing, with
    ///     mode 0600. Beside it there are two more while it is open, `<path>-wal` and `<path>-shm`.
    ///   - options: How it is kept.
    ///   - environment: Its clock, its worker threads, its control loop.
    ///   - codecs: What the typed forms encode and decode with.
    ///   - logger: Is told when the file fails, and when it is open again.
    /// - Throws: ``MicroError`` `invalidArgument`.
    public convenience init(
        path: String, options: SQLiteStoreOptions = SQLiteStoreOptions(),
        environment: Environment = .current, codecs: Codecs = Codecs(),
        logger: Logger = Logger(label: "micro.store")
    ) throws {
        guard path.hasPrefix("/"), !path.hasSuffix("/"), !path.utf8.contains(0) else {
            throw MicroError.invalid(
                "store", "\"\(path)\" can't be a store's file: give an absolute path", at: "path")
        }
        try self.init(
            path: path, isPrivateFolder: false, options, environment, codecs, logger)
    }

    /// A store of this user's own: `<name>.sqlite` in `$XDG_STATE_HOME/micro`, or without that
    /// variable in `~/.local/state/micro`. That folder is made, and must be closed to others.
    ///
    /// - Parameters:
    ///   - name: 1 to 64 of a-z, 0-9, "-" and "_".
    ///   - options: How it is kept.
    ///   - environment: Its clock, its worker threads, its control loop.
    ///   - codecs: What the typed forms encode and decode with.
    ///   - logger: Is told when the file fails, and when it is open again.
    /// - Throws: ``MicroError``: `invalidArgument`; `failedPrecondition` when there is no home.
    public convenience init(
        name: String, options: SQLiteStoreOptions = SQLiteStoreOptions(),
        environment: Environment = .current, codecs: Codecs = Codecs(),
        logger: Logger = Logger(label: "micro.store")
    ) throws {
        guard SQLiteStore.isName(name) else {
            throw MicroError.invalid(
                "store",
                "\"\(name)\" can't be a store's name: write 1 to 64 of a-z, 0-9, \"-\" and \"_\"",
                at: "name")
        }
        guard let folder = PrivateFolder.state else {
            throw MicroError.failedPrecondition(
                "store",
                "there is no place for the store \"\(name)\": set XDG_STATE_HOME or HOME, or give"
                    + " a path")
        }
        try self.init(
            path: "\(folder)/\(name).sqlite", isPrivateFolder: true, options, environment, codecs,
            logger)
    }

    private init(
        path: String, isPrivateFolder: Bool, _ options: SQLiteStoreOptions,
        _ environment: Environment, _ codecs: Codecs, _ logger: Logger
    ) throws(MicroError) {
        try options.validate()
        let place = SQLiteStorePlace(
            settings: options.settings(path: path), isPrivateFolder: isPrivateFolder,
            environment: environment, logger: logger)
        let reference = WeakReference<StoreQueue<StoreBatch, StoreCommit>>()
        let reaper = Alarm(environment: environment) { reference.object?.nudge() }
        let readers = SQLiteStoreReaders(place, options)
        let watches = SQLiteStoreWatches(place, readers, reaper: reaper)
        let writer = SQLiteStoreWriter(place, options.limits)
        let commits = StoreQueue<StoreBatch, StoreCommit>(
            environment: environment,
            limits: .init(
                waiting: options.waiting, workers: 1, weight: SQLiteStore.groupMax,
                patience: options.patience)
        ) { _, batches, isReaping in
            let outcome = writer.write(batches, isReaping: isReaping)
            reaper.arm(at: outcome.nextExpiry)
            if outcome.hasChanged { watches.ring() }
            return outcome.answers
        }
        reference.object = commits
        self.environment = environment
        self.codecs = codecs
        self.path = path
        self.options = options
        self.reaper = reaper
        self.readers = readers
        self.watches = watches
        self.writer = writer
        self.commits = commits
    }

    /// Whether a file of this name can be in the user's folder of stores.
    static func isName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy {
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
            }
    }

    /// How many transactions were committed: what tests count.
    var transactions: Int { writer.transactions }

    /// The record at `key`. See ``Store``.
    public func record(_ key: String) async throws -> StoreRecord? {
        try options.limits.check(key: key)
        return try await readers.read("store.read") { file, now in
            try file.record(key, now: now).map { try StoreRecord(key, $0, now: now) }
        }
    }

    /// Does all of a batch, or nothing. See ``Store``.
    @discardableResult
    public func commit(_ batch: StoreBatch) async throws -> StoreCommit {
        try options.limits.check(batch)
        return try await commits.submit(batch, weight: batch.weight, at: "store.commit")
    }

    /// Keys in order. See ``Store``. A page isn't a snapshot: what changes while it is made may be
    /// in it or not.
    public func list(_ query: StoreQuery) async throws -> StorePage {
        try query.validate()
        var keys: [String] = []
        var after = query.after ?? ""
        // Other reads come between the parts of a long walk. One key more tells if there is more.
        while true {
            let (wanted, start) = (query.limit + 1 - keys.count, after)
            let (part, last) = try await readers.read("store.list") { file, now in
                try file.keys(
                    prefix: query.prefix, suffix: query.suffix, after: start, wanted: wanted,
                    budget: 4096, now: now)
            }
            keys += part
            guard keys.count <= query.limit, let last else { break }
            after = last
        }
        guard keys.count > query.limit else { return StorePage(keys: keys, next: nil) }
        keys.removeLast(keys.count - query.limit)
        return StorePage(keys: keys, next: keys.last)
    }

    /// Watches keys. See ``Store``. The commits of other processes are seen within a second, and
    /// most of them at once.
    public func changes(prefix: String, from revision: UInt64?) async throws -> StoreChanges {
        try await watches.watch(prefix: prefix, from: revision)
    }

    /// Closes the store: what was begun is waited for. See ``Store``.
    public func close() async {
        let task = closing.withLock { closing in
            let task = closing ?? Context.unbound { environment.spawn { await self.finish() } }
            closing = task
            return task
        }
        await task.wait()
    }

    private func finish() async {
        await commits.close()
        reaper.stop()
        await readers.drain()
        watches.close()
        let (readers, writer) = (readers, writer)
        // The writer last: it takes over what is in the log beside the file.
        let closeFiles: @Sendable () -> Void = {
            readers.close()
            writer.close()
        }
        do { try await environment.offload(closeFiles) } catch { closeFiles() }
    }
}

extension StoreBatch {
    /// How much of a group of commits it is.
    fileprivate var weight: Int {
        let bytes = operations.reduce(0) { sum, operation in
            guard case .write(let write) = operation else { return sum }
            return sum + write.value.count
        }
        return 1 + checks.count + operations.count + bytes / 2_048
    }
}

extension SQLiteStoreOptions {
    fileprivate func settings(path: String) -> StoreFile.Settings {
        StoreFile.Settings(
            path: path, durability: durability == .powerCut ? .full : .normal,
            busyTimeout: busyTimeout, changes: limits.changes, changeBytes: limits.changeBytes,
            entries: limits.entries, bytes: limits.bytes)
    }
}
