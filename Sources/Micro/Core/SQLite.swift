internal import CMicroCore

/// Why SQLite, or a lock file, refused something.
struct SQLiteError: Error, CustomStringConvertible {
    var status: CoreStatus
    /// What SQLite itself says.
    var detail: String

    /// Another process or connection holds what is needed; trying again later may work.
    var isBusy: Bool { status.raw == Int32(MCORE_EBUSY) }
    /// The bytes of the file are not what they were when they were written, or not a database.
    var isCorrupt: Bool { status == .damaged }
    /// A folder or file does not exist.
    var isMissing: Bool { status == .notFound }
    var isDenied: Bool { status.raw == Int32(MCORE_EACCES) }
    /// The disk is full.
    var isFull: Bool { status == .limit }
    /// Reading or writing failed; when it was the fsync of a commit, nobody knows what is on disk.
    var isBroken: Bool { status.raw == Int32(MCORE_EIO) }
    /// The file is something else, or of a later version.
    var isForeign: Bool { status == .unsupported }
    /// A unique key exists already, or another constraint does not hold.
    var isConstraint: Bool { status.raw == Int32(MCORE_EEXIST) }

    var description: String { detail.isEmpty ? status.text : "\(status.text): \(detail)" }
}

extension CoreStatus {
    static let damaged = CoreStatus(raw: Int32(MCORE_ECORRUPT))
}

/// A connection to a SQLite database in WAL mode, and its statements.
///
/// It blocks: use it inside ``Environment/offload(_:)``. It is not `Sendable`, so it lives in a
/// `Mutex`, which is what lets only one thread at a time near it.
final class SQLiteDatabase {
    /// What makes a commit durable. `full` survives a power cut; `normal` a crash of the process.
    enum Durability: UInt32 {
        case normal = 1
        case full = 2
    }

    let path: String
    private let raw: OpaquePointer
    private let identity: FileIdentity?
    private var statements: [String: SQLiteStatement] = [:]

    /// Opens or creates the file, with mode 0600.
    ///
    /// - Parameter busyTimeout: How long a statement waits for another writer.
    init(
        path: String, durability: Durability = .full, busyTimeout: Duration = .seconds(2)
    ) throws(SQLiteError) {
        guard !path.utf8.contains(0) else {
            throw SQLiteError(
                status: CoreStatus(raw: Int32(MCORE_EINVAL)), detail: "NUL in the path")
        }
        var options = mcore_sqlite_options()
        mcore_sqlite_options_default(&options)
        options.busy_timeout_ms = busyTimeout.clampedMilliseconds
        options.synchronous = durability.rawValue
        var opened: OpaquePointer?
        var text = ""
        let status = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { detail in
            let status = mcore_sqlite_open(
                path, &options, &opened, detail.baseAddress, detail.count)
            if status < 0, let start = detail.baseAddress { text = String(cString: start) }
            return status
        }
        guard status >= 0, let opened else {
            throw SQLiteError(status: CoreStatus(raw: status), detail: text)
        }
        self.path = path
        self.raw = opened
        self.identity = FileIdentity(of: path)
    }

    deinit {
        for statement in statements.values { statement.finalize() }
        mcore_sqlite_close(raw)
    }

    /// Whether the path still leads to the file that is open: it may have been deleted or replaced.
    var isCurrent: Bool {
        path == ":memory:" || identity != nil && FileIdentity(of: path) == identity
    }

    /// Runs statements without parameters and rows.
    func execute(_ sql: String) throws(SQLiteError) { try check(mcore_sqlite_exec(raw, sql)) }

    /// The statement for `sql`, reset; it is prepared once and kept as long as the connection.
    ///
    /// One use of a statement must have ended before its next begins.
    func statement(_ sql: String) throws(SQLiteError) -> SQLiteStatement {
        if let known = statements[sql] {
            known.reset()
            return known
        }
        var text = sql
        var prepared: OpaquePointer?
        let status = text.withUTF8 { bytes in
            let slice = mcore_slice(data: bytes.baseAddress, len: bytes.count)
            return mcore_sqlite_prepare(raw, slice, &prepared)
        }
        try check(status)
        guard let prepared else { throw error(Int32(MCORE_ENOMEM)) }
        let statement = SQLiteStatement(raw: prepared, database: self)
        statements[sql] = statement
        return statement
    }

    /// Runs a statement that returns no rows.
    func run(_ sql: String, _ parameters: SQLiteValue...) throws(SQLiteError) {
        let statement = try statement(sql)
        defer { statement.reset() }
        try statement.bind(parameters)
        while try statement.step() {}
    }

    /// Runs a statement and calls `body` for each row.
    func query(
        _ sql: String, _ parameters: SQLiteValue..., body: (SQLiteStatement) throws -> Void
    ) throws {
        let statement = try statement(sql)
        defer { statement.reset() }
        try statement.bind(parameters)
        while try statement.step() { try body(statement) }
    }

    /// The first column of the first row as a number; nil without a row.
    func number(_ sql: String, _ parameters: SQLiteValue...) throws(SQLiteError) -> Int64? {
        let statement = try statement(sql)
        defer { statement.reset() }
        try statement.bind(parameters)
        return try statement.step() ? statement.int(0) : nil
    }

    /// Runs `body` in a transaction that takes the write lock at once; what it throws rolls back.
    func transaction<T>(_ body: () throws -> T) throws -> T {
        try execute("BEGIN IMMEDIATE")
        do {
            let result = try body()
            try execute("COMMIT")
            return result
        } catch {
            // Fails only when SQLite has rolled back by itself, which is what is wanted.
            try? execute("ROLLBACK")
            throw error
        }
    }

    /// Rows that the last INSERT, UPDATE or DELETE changed.
    var changes: Int64 { mcore_sqlite_changes(raw) }

    /// The rowid of the last INSERT.
    var lastRowID: Int64 { mcore_sqlite_last_rowid(raw) }

    func check(_ status: mcore_status) throws(SQLiteError) {
        guard status >= 0 else { throw error(status) }
    }

    private func error(_ status: mcore_status) -> SQLiteError {
        SQLiteError(
            status: CoreStatus(raw: status), detail: String(cString: mcore_sqlite_error(raw)))
    }
}

/// A value that a statement takes.
enum SQLiteValue {
    case null
    case int(Int64)
    case text(String)
    case blob([UInt8])
}

/// A prepared statement of a ``SQLiteDatabase``, which owns it.
final class SQLiteStatement {
    private var raw: OpaquePointer?
    private unowned let database: SQLiteDatabase

    fileprivate init(raw: OpaquePointer, database: SQLiteDatabase) {
        self.raw = raw
        self.database = database
    }

    fileprivate func finalize() {
        mcore_sqlite_finalize(raw)
        raw = nil
    }

    /// Sets the parameters 1, 2, …
    func bind(_ values: [SQLiteValue]) throws(SQLiteError) {
        for (index, value) in values.enumerated() {
            try database.check(bind(value, at: Int32(index + 1)))
        }
    }

    private func bind(_ value: SQLiteValue, at index: Int32) -> mcore_status {
        switch value {
        case .null: return mcore_sqlite_bind_null(raw, index)
        case .int(let number): return mcore_sqlite_bind_int(raw, index, number)
        case .text(var text):
            return text.withUTF8 { bytes in
                let slice = mcore_slice(data: bytes.baseAddress, len: bytes.count)
                return mcore_sqlite_bind_text(raw, index, slice)
            }
        case .blob(let blob):
            return blob.withUnsafeBytes { bytes in
                let slice = mcore_slice(data: bytes.baseAddress, len: bytes.count)
                return mcore_sqlite_bind_blob(raw, index, slice)
            }
        }
    }

    /// Goes to the next row; false at the end.
    func step() throws(SQLiteError) -> Bool {
        var row: UInt32 = 0
        try database.check(mcore_sqlite_step(raw, &row))
        return row != 0
    }

    /// Makes it ready to run again and clears its parameters.
    func reset() { mcore_sqlite_reset(raw) }

    // Columns count from 0.
    func int(_ column: Int32) -> Int64 { mcore_sqlite_column_int(raw, column) }
    func text(_ column: Int32) -> String { String(mcore_sqlite_column_bytes(raw, column)) }
    func bytes(_ column: Int32) -> [UInt8] { [UInt8](mcore_sqlite_column_bytes(raw, column)) }
    func isNull(_ column: Int32) -> Bool { mcore_sqlite_column_is_null(raw, column) != 0 }
}
