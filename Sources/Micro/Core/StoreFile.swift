internal import CMicroCore

/// Records in a file: one connection of the core's engine for them.
///
/// It blocks: use it inside ``Environment/offload(_:)``. It is not `Sendable`, so it lives in a
/// `Mutex`, which is what lets only one thread at a time near it. Times are those of the file, in
/// milliseconds: ``time(at:)``.
final class StoreFile {
    /// How a file is opened. What is `Int.max` has no bound.
    struct Settings: Sendable, Hashable {
        var path: String
        var durability = SQLiteDatabase.Durability.full
        /// How long a writer waits for another process.
        var busyTimeout = Duration.seconds(5)
        /// How many changes are remembered, and how many bytes of them.
        var changes = 10_000
        var changeBytes = 32 << 20
        /// How many records there may be, and how many bytes of them.
        var entries = Int.max
        var bytes = Int.max
    }

    /// The clocks of an environment as they are now.
    struct Moment: Sendable {
        fileprivate let boot: String
        fileprivate let monotonic: Int64
        fileprivate let wall: Int64

        init(in environment: Environment) {
            self.boot = environment.loops.control.simulationID ?? MachineBoot.id
            self.monotonic = Int64(clamping: environment.clock.now.nanoseconds / 1_000_000)
            self.wall = environment.wallClock.clampedNanoseconds / 1_000_000
        }

        fileprivate func withClock<T>(_ body: (mcore_store_clock) -> T) -> T {
            withSlice(of: boot) { boot in
                body(mcore_store_clock(boot: boot, monotonic_ms: monotonic, wall_ms: wall))
            }
        }
    }

    let path: String
    private let raw: OpaquePointer
    private let identity: FileIdentity?

    /// Opens or creates the file, with mode 0600.
    ///
    /// - Parameter isReadOnly: Whether nothing can be written through this connection.
    init(
        _ settings: Settings, at moment: Moment, isReadOnly: Bool
    ) throws(SQLiteError) {
        guard !settings.path.utf8.contains(0) else {
            throw SQLiteError(
                status: CoreStatus(raw: Int32(MCORE_EINVAL)), detail: "NUL in the path")
        }
        var options = mcore_store_options()
        mcore_store_options_default(&options)
        options.busy_timeout_ms = settings.busyTimeout.clampedMilliseconds
        options.synchronous = settings.durability.rawValue
        options.read_only = isReadOnly ? 1 : 0
        options.changes_max = UInt64(clamping: settings.changes)
        options.change_bytes_max = UInt64(clamping: settings.changeBytes)
        options.entries_max = UInt64(clamping: settings.entries)
        options.bytes_max = UInt64(clamping: settings.bytes)
        var opened: OpaquePointer?
        let (status, detail) = moment.withClock { clock in
            withDetail { text, size in
                withUnsafePointer(to: clock) { clock in
                    mcore_store_open(settings.path, &options, clock, &opened, text, size)
                }
            }
        }
        guard status >= 0, let opened else {
            throw SQLiteError(status: CoreStatus(raw: status), detail: detail)
        }
        self.path = settings.path
        self.raw = opened
        self.identity = FileIdentity(of: settings.path)
    }

    deinit { mcore_store_close(raw) }

    /// Whether the path still leads to the file that is open: it may have been deleted or replaced.
    var isCurrent: Bool { identity != nil && FileIdentity(of: path) == identity }

    /// The time of the file at a moment.
    func time(at moment: Moment) -> Int64 { mcore_store_time(raw, moment.monotonic) }

    fileprivate func check(_ status: mcore_status) throws(SQLiteError) {
        guard status < 0 else { return }
        throw SQLiteError(
            status: CoreStatus(raw: status), detail: String(cString: mcore_store_error(raw)))
    }
}

// MARK: - Reading

extension StoreFile {
    /// What is kept under a key.
    struct Record: Sendable {
        var value: [UInt8]
        var contentType: String
        var metadata: [UInt8]
        var version: UInt64
        /// nil: never.
        var expiry: Int64?
    }

    /// What is in the file.
    struct Facts: Sendable {
        /// Of the last commit that changed something; 0: none.
        var revision: UInt64
        /// Of the last change that is not remembered any more; 0: none.
        var forgotten: UInt64
        var entries: Int
        var bytes: Int
        /// When the next record expires; nil: none does.
        var nextExpiry: Int64?
    }

    /// Runs `body` on one state of the file.
    func reading<T>(_ body: () throws -> T) throws -> T {
        try check(mcore_store_begin_read(raw))
        defer { mcore_store_end_read(raw) }
        return try body()
    }

    /// The record at `key`; nil when there is none.
    func record(_ key: String, now: Int64) throws(SQLiteError) -> Record? {
        var found = mcore_store_record()
        let status = withSlice(of: key) { mcore_store_get(raw, $0, now, &found) }
        if status == Int32(MCORE_ENOENT) { return nil }
        try check(status)
        return Record(found)
    }

    /// Up to `wanted` keys after `after`, in order, of which `budget` are looked at.
    ///
    /// - Returns: The keys, and after which to go on; nil: there are no more.
    func keys(
        prefix: String, suffix: String, after: String, wanted: Int, budget: Int, now: Int64
    ) throws(SQLiteError) -> (keys: [String], last: String?) {
        var keys: [String] = []
        var last = after
        var remaining = UInt32(clamping: budget)
        while keys.count < wanted {
            var found: UInt32 = 0
            var key = mcore_slice()
            let status = withSlice(of: prefix) { prefix in
                withSlice(of: suffix) { suffix in
                    withSlice(of: last) { last in
                        mcore_store_next_key(
                            raw, prefix, suffix, last, 0, now, &remaining, &found, &key)
                    }
                }
            }
            if status == Int32(MCORE_ENOENT) { return (keys, nil) }
            try check(status)
            last = String(key)
            guard found != 0 else { break }
            keys.append(last)
        }
        return (keys, last)
    }

    func facts() throws(SQLiteError) -> Facts {
        var facts = mcore_store_facts()
        try check(mcore_store_facts_read(raw, &facts))
        return Facts(
            revision: facts.revision, forgotten: facts.forgotten,
            entries: Int(clamping: facts.entries), bytes: Int(clamping: facts.bytes),
            nextExpiry: facts.next_expiry_ms == .max ? nil : facts.next_expiry_ms)
    }
}

extension StoreFile.Record {
    fileprivate init(_ raw: mcore_store_record) {
        value = [UInt8](raw.value)
        contentType = String(raw.content_type)
        metadata = [UInt8](raw.metadata)
        version = raw.version
        expiry = raw.expiry_ms == .max ? nil : raw.expiry_ms
    }
}

// MARK: - Changes

extension StoreFile {
    /// One change of one key.
    struct Change: Sendable {
        enum Kind: Sendable {
            case written(Record)
            case deleted
            case expired
        }

        /// In the log: it grows with every change.
        var position: UInt64
        var revision: UInt64
        var key: String
        var kind: Kind
        /// When it was committed.
        var time: Int64
    }

    /// Changes one behind the other.
    struct ChangePage: Sendable {
        var changes: [Change]
        /// Everything up to here was looked at.
        var end: UInt64
        /// Whether the log ends there.
        var isLast: Bool
    }

    /// The position before the first change of `revision` or of a later one; nil when changes from
    /// there on are forgotten.
    func position(of revision: UInt64) throws(SQLiteError) -> UInt64? {
        var position: UInt64 = 0
        let status = mcore_store_position_of(raw, revision, &position)
        if status == Int32(MCORE_ENOENT) { return nil }
        try check(status)
        return position
    }

    /// The changes behind `position` of keys that begin with `prefix`: `count` at most, and no more
    /// when they have `bytes`.
    func changes(
        after position: UInt64, prefix: String, count: Int, bytes: Int
    ) throws(SQLiteError) -> ChangePage {
        var page = ChangePage(changes: [], end: position, isLast: false)
        var size = 0
        while page.changes.count < count, size < bytes {
            var raw = mcore_store_change()
            let status = withSlice(of: prefix) {
                mcore_store_next_change(self.raw, page.end, $0, &raw)
            }
            let isEnd = status == Int32(MCORE_ENOENT)
            if !isEnd { try check(status) }
            page.end = raw.position
            if isEnd {
                page.isLast = true
                break
            }
            size += raw.key.len + raw.record.value.len
            page.changes.append(Change(raw))
        }
        return page
    }
}

extension StoreFile.Change {
    fileprivate init(_ raw: mcore_store_change) {
        position = raw.position
        revision = raw.revision
        key = String(raw.key)
        time = raw.time_ms
        kind =
            switch Int(raw.kind) {
            case Int(MCORE_STORE_DELETED): .deleted
            case Int(MCORE_STORE_EXPIRED): .expired
            default: .written(StoreFile.Record(raw.record))
            }
    }
}

// MARK: - Writing

extension StoreFile {
    /// A part of a batch.
    struct Operation: Sendable {
        enum Kind: Sendable { case check, write, delete }
        enum Condition: Sendable {
            case any
            case absent
            case version(UInt64)
        }

        var kind: Kind
        var key: String
        var condition: Condition
        /// 0: none.
        var fence: UInt64 = 0
        var value: [UInt8] = []
        var contentType = ""
        var metadata: [UInt8] = []
        /// nil: never.
        var expiry: Int64?
    }

    /// What came of a batch.
    enum Verdict: Sendable {
        case done(revision: UInt64, deleted: Int)
        /// `found` is the version that is there; 0: there is no record.
        case conflict(index: Int, found: UInt64)
        /// `found` is the newer token.
        case stale(index: Int, found: UInt64)
        /// `found` is how much there is.
        case fullOfEntries(found: UInt64)
        case fullOfBytes(found: UInt64)
        case fullOfFences(found: UInt64)
    }

    /// Takes the write lock.
    func begin(at moment: Moment) throws(SQLiteError) {
        try check(
            moment.withClock { clock in
                withUnsafePointer(to: clock) { mcore_store_begin(raw, $0) }
            })
    }

    /// Does all of a batch, or nothing.
    func apply(_ operations: [Operation]) throws(SQLiteError) -> Verdict {
        var arena = OperationArena(operations)
        var result = mcore_store_result()
        try check(
            arena.withOperations { mcore_store_apply(raw, $0.baseAddress, $0.count, &result) })
        let index = Int(result.index)
        switch result.verdict {
        case MCORE_STORE_CONFLICT: return .conflict(index: index, found: result.found)
        case MCORE_STORE_STALE: return .stale(index: index, found: result.found)
        case MCORE_STORE_FULL_ENTRIES: return .fullOfEntries(found: result.found)
        case MCORE_STORE_FULL_BYTES: return .fullOfBytes(found: result.found)
        case MCORE_STORE_FULL_FENCES: return .fullOfFences(found: result.found)
        default:
            return .done(revision: result.revision, deleted: Int(clamping: result.deleted))
        }
    }

    /// Takes out records that have expired, `max` at most.
    func expire(max: Int) throws(SQLiteError) -> Int {
        var count: UInt32 = 0
        try check(mcore_store_expire(raw, UInt32(clamping: max), &count))
        return Int(count)
    }

    /// Makes everything since ``begin(at:)`` durable.
    func commit() throws(SQLiteError) { try check(mcore_store_commit(raw)) }

    func rollback() { mcore_store_rollback(raw) }
}

/// Operations as the core takes them: all their bytes one behind the other.
private struct OperationArena {
    private var bytes: [UInt8] = []
    private var operations: [mcore_store_operation] = []
    /// Where the four slices of each operation end.
    private var ends: [Int] = []

    init(_ given: [StoreFile.Operation]) {
        bytes.reserveCapacity(
            given.reduce(0) { $0 + $1.key.utf8.count + $1.value.count + $1.metadata.count + 32 })
        operations.reserveCapacity(given.count)
        ends.reserveCapacity(4 * given.count)
        for operation in given { add(operation) }
    }

    private mutating func add(_ operation: StoreFile.Operation) {
        var raw = mcore_store_operation()
        raw.kind =
            switch operation.kind {
            case .check: UInt32(MCORE_STORE_CHECK)
            case .write: UInt32(MCORE_STORE_WRITE)
            case .delete: UInt32(MCORE_STORE_DELETE)
            }
        switch operation.condition {
        case .any: raw.condition = UInt32(MCORE_STORE_ANY)
        case .absent: raw.condition = UInt32(MCORE_STORE_ABSENT)
        case .version(let version):
            raw.condition = UInt32(MCORE_STORE_VERSION)
            raw.version = version
        }
        raw.fence = operation.fence
        raw.expiry_ms = operation.expiry ?? .max
        operations.append(raw)
        bytes += operation.key.utf8
        ends.append(bytes.count)
        bytes += operation.value
        ends.append(bytes.count)
        bytes += operation.contentType.utf8
        ends.append(bytes.count)
        bytes += operation.metadata
        ends.append(bytes.count)
    }

    mutating func withOperations<T>(
        _ body: (UnsafeBufferPointer<mcore_store_operation>) -> T
    ) -> T {
        bytes.withUnsafeBufferPointer { bytes in
            var begin = 0
            func slice(to end: Int) -> mcore_slice {
                defer { begin = end }
                return mcore_slice(data: bytes.baseAddress.map { $0 + begin }, len: end - begin)
            }
            for index in operations.indices {
                operations[index].key = slice(to: ends[4 * index])
                operations[index].value = slice(to: ends[4 * index + 1])
                operations[index].content_type = slice(to: ends[4 * index + 2])
                operations[index].metadata = slice(to: ends[4 * index + 3])
            }
            return operations.withUnsafeBufferPointer(body)
        }
    }
}

/// A text as a slice of the core's, for the time of a call.
private func withSlice<T>(of text: String, _ body: (mcore_slice) -> T) -> T {
    var text = text
    return text.withUTF8 { body(mcore_slice(data: $0.baseAddress, len: $0.count)) }
}
