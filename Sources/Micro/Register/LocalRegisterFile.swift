/// The file of a ``LocalRegister`` and what this process holds in it. Blocking; one thread at a
/// time.
///
/// A node is a row, and its owner holds the lock on one byte of the file `<path>.locks`, at the
/// offset of the row's number, for as long as it lives. The kernel frees it when the process dies,
/// however it dies, so a row without its lock is a dead node: nobody returns it, and who notices
/// deletes it. Row numbers are random, so that none is ever used twice, even when the database was
/// deleted and made anew. The table `revision` counts what watchers have to see; a heartbeat
/// does not count.
struct LocalRegisterFile: ~Copyable {
    let path: String
    private let isPrivateFolder: Bool
    private let boot: String
    private let makeRow: @Sendable () -> UInt64
    private var database: SQLiteDatabase?
    /// How often the file was opened.
    private(set) var openings = 0
    private var held: [ServiceNode.Key: Held] = [:]

    private var known = Known()

    private struct Held {
        var row: Int64
        var lock: FileLock
        /// As it stands in the file.
        var node: ServiceNode
    }

    /// What the last ``poll(now:)`` saw.
    private struct Known {
        var dataVersion: Int64 = -1
        var revision: Int64 = -1
        var rows: [Int64] = []
        var nextExpiry: UInt64 = .max
        var isDirty = true
    }

    private struct Row {
        var number: Int64
        var boot: String
        var expiry: UInt64
        /// Of the change that made it what it is.
        var revision: Int64
        var node: ServiceNode
    }

    /// - Parameters:
    ///   - isPrivateFolder: The folder is ours: it is made when it is missing, and its owner and
    ///     mode are checked.
    ///   - boot: What the times of the rows are good for.
    ///   - random: Numbers for rows.
    init(
        path: String, isPrivateFolder: Bool, boot: String,
        random: @escaping @Sendable () -> UInt64
    ) {
        self.path = path
        self.isPrivateFolder = isPrivateFolder
        self.boot = boot
        self.makeRow = random
    }

    private var lockPath: String { path + ".locks" }

    // MARK: Nodes

    mutating func register(_ node: ServiceNode, expiry: UInt64, now: UInt64) throws {
        let (database, _) = try open()
        // Our lock file may have been deleted: then nobody sees the lock that we hold.
        if let mine = held[node.key], try !isAlive(mine.row) { held[node.key] = nil }
        let mine = held[node.key]
        let limit = Int64(clamping: expiry)
        if let mine {
            if mine.node == node, try extend(mine.row, until: limit, in: database) { return }
            try checkSuccessor(of: mine, now: now, in: database)
        }

        let (row, lock) = try mine.map { ($0.row, $0.lock) } ?? takeLock()
        try database.transaction {
            try database.run("UPDATE revision SET number = number + 1")
            try database.run(
                "DELETE FROM nodes WHERE namespace = ?1 AND service = ?2 AND id = ?3",
                .text(node.namespace), .text(node.service), .text(node.id))
            try insert(node, row: row, expiry: limit, into: database)
        }
        held[node.key] = Held(row: row, lock: lock, node: node)
        known.isDirty = true
    }

    /// Who registers an id last has it, for good: the heartbeats of a former owner that still lives
    /// do not take it back, or the two would take turns.
    private func checkSuccessor(of mine: Held, now: UInt64, in database: SQLiteDatabase) throws {
        let node = mine.node
        let other = try database.number(
            """
            SELECT row FROM nodes
            WHERE namespace = ?1 AND service = ?2 AND id = ?3 AND row <> ?4 AND boot = ?5
                AND expiry > ?6
            """,
            .text(node.namespace), .text(node.service), .text(node.id), .int(mine.row),
            .text(boot), .int(Int64(clamping: now)))
        guard let other, try isAlive(other) else { return }
        throw MicroError(
            "register", .alreadyExists,
            "another process has registered node \(node.id) of \(node.service) since, and is alive:"
                + " give each process an id of its own")
    }

    /// A heartbeat: false when the row is not there any more.
    private func extend(
        _ row: Int64, until expiry: Int64, in database: SQLiteDatabase
    ) throws -> Bool {
        try database.run("UPDATE nodes SET expiry = ?2 WHERE row = ?1", .int(row), .int(expiry))
        return database.changes == 1
    }

    /// The lock is held before its row can be seen, or the row would look dead.
    private func takeLock() throws -> (Int64, FileLock) {
        var row: Int64
        repeat {
            row = Int64(makeRow() >> 2 | 1)
        } while try isAlive(row)  // one of 2^61 numbers, twice
        return (row, try FileLock(path: lockPath, offset: UInt64(row)))
    }

    mutating func deregister(_ key: ServiceNode.Key) throws {
        // Whatever becomes of the row: without the lock the node is gone for everybody.
        guard let mine = held.removeValue(forKey: key) else { return }
        defer { withExtendedLifetime(mine.lock) {} }
        let (database, _) = try open()
        try delete(rows: [mine.row], from: database) { _ in true }
    }

    /// The nodes that live, by version and id. Dead ones are deleted on the way.
    mutating func lookup(_ filter: RegisterFilter, now: UInt64) throws -> [ServiceNode] {
        let (database, _) = try open()
        let (alive, dead) = try sort(load(filter, from: database), now: now)
        reap(dead, now: now, in: database)
        return alive.map(\.node)
    }

    /// All nodes that live, when something is different since the last call; else nil.
    ///
    /// - Parameter isForced: The nodes are wanted in any case.
    mutating func poll(now: UInt64, isForced: Bool) throws -> [ServiceNode]? {
        let (database, isNew) = try open()
        if isNew { known = Known() }
        let version = try database.number("PRAGMA data_version") ?? 0
        let isOver = try known.nextExpiry <= now || known.rows.contains { try !isAlive($0) }
        let mustLoad = isForced || isOver || known.isDirty
        guard mustLoad || version != known.dataVersion else { return nil }

        let revision = try database.number("SELECT number FROM revision") ?? 0
        known.dataVersion = version
        guard mustLoad || revision != known.revision else { return nil }  // only heartbeats

        let everything = RegisterFilter(service: nil, namespace: RegisterNamespace.wildcard)
        let (alive, dead) = try sort(load(everything, from: database), now: now)
        reap(dead, now: now, in: database)
        known = Known(
            dataVersion: version, revision: revision, rows: alive.map(\.number),
            nextExpiry: alive.map(\.expiry).min() ?? .max, isDirty: false)
        // Watchers are told in the order in which it happened.
        return alive.sorted { $0.revision < $1.revision }.map(\.node)
    }

    /// Removes what this process has registered.
    mutating func close() {
        let rows = held.values.map(\.row)
        if !rows.isEmpty, let database = try? open().0 {
            // Readers see the locks go in any case.
            try? delete(rows: rows, from: database) { _ in true }
        }
        held = [:]
        database = nil
    }

    /// After an error: a lock passes, everything else may be the connection's own fault.
    mutating func recover(from error: any Error) {
        known = Known()
        if let error = error as? SQLiteError, error.isBusy { return }
        database = nil
    }

    // MARK: Life and death

    private func isAlive(_ row: Int64) throws -> Bool {
        try FileLock.isHeld(path: lockPath, offset: UInt64(clamping: row))
    }

    private func sort(_ rows: [Row], now: UInt64) throws -> (alive: [Row], dead: [Row]) {
        var alive: [Row] = []
        var dead: [Row] = []
        for row in rows {
            switch (row.boot == boot, try isAlive(row.number)) {
            case (_, false): dead.append(row)
            // The clock of another time namespace or simulation: not ours to judge, nor to use.
            case (false, true): continue
            case (true, true):
                if row.expiry > now { alive.append(row) } else { dead.append(row) }
            }
        }
        return (alive, dead)
    }

    /// Deletes dead rows, each looked at again inside the transaction. Whoever comes next does it
    /// when this fails.
    private func reap(_ dead: [Row], now: UInt64, in database: SQLiteDatabase) {
        guard !dead.isEmpty else { return }
        try? delete(rows: dead.map(\.number), from: database) { row in
            if try !isAlive(row) { return true }
            let expiry = try database.number(
                "SELECT expiry FROM nodes WHERE row = ?1 AND boot = ?2", .int(row), .text(boot))
            return expiry.map { UInt64(clamping: $0) <= now } ?? false
        }
    }

    private func delete(
        rows: [Int64], from database: SQLiteDatabase, where isWanted: (Int64) throws -> Bool
    ) throws {
        try database.transaction {
            var count: Int64 = 0
            for row in rows where try isWanted(row) {
                try database.run("DELETE FROM nodes WHERE row = ?1", .int(row))
                count += database.changes
            }
            if count > 0 { try database.run("UPDATE revision SET number = number + 1") }
        }
    }

    // MARK: Rows

    private func insert(
        _ node: ServiceNode, row: Int64, expiry: Int64, into database: SQLiteDatabase
    ) throws {
        try database.run(
            """
            INSERT INTO nodes
            (row, namespace, service, id, version, weight, zone, state, boot, expiry, revision)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, (SELECT number FROM revision))
            """,
            .int(row), .text(node.namespace), .text(node.service), .text(node.id),
            .text(node.version), .int(Int64(node.weight)), .text(node.zone),
            .text(node.state.description), .text(boot), .int(expiry))
        func detail(
            _ kind: Detail, _ position: Int, _ name: String, _ a: String = "", _ b: String = ""
        ) throws {
            try database.run(
                "INSERT INTO details (row, kind, position, name, a, b) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                .int(row), .text(kind.rawValue), .int(Int64(position)), .text(name), .text(a),
                .text(b))
        }
        for (index, address) in node.addresses.enumerated() {
            try detail(.address, index, address)
        }
        for (index, codec) in node.codecs.enumerated() { try detail(.codec, index, codec) }
        for (name, value) in node.metadata { try detail(.metadata, 0, name, value) }
        for (index, method) in node.methods.enumerated() {
            try detail(.method, index, method.name, method.request, method.reply)
            for (name, value) in method.metadata {
                try detail(.methodMetadata, index, name, value)
            }
        }
    }

    private enum Detail: String {
        case address
        case codec
        case metadata
        case method
        case methodMetadata = "method-metadata"  // its position is that of its method
    }

    /// One statement, so that it is one state of the file.
    private func load(_ filter: RegisterFilter, from database: SQLiteDatabase) throws -> [Row] {
        var rows: [Row] = []
        try database.query(
            """
            SELECT n.row, n.boot, n.expiry, n.namespace, n.service, n.id, n.version, n.weight,
                n.zone, n.state, n.revision, d.kind, d.position, d.name, d.a, d.b
            FROM nodes n LEFT JOIN details d ON d.row = n.row
            WHERE (?1 IS NULL OR n.service = ?1) AND (?2 IS NULL OR n.namespace = ?2)
            ORDER BY n.namespace, n.service, n.version, n.id, d.kind, d.position
            """,
            filter.service.map { .text($0) } ?? .null,
            filter.namespace == RegisterNamespace.wildcard ? .null : .text(filter.namespace)
        ) { columns in
            let number = columns.int(0)
            if rows.last?.number != number { rows.append(LocalRegisterFile.row(columns)) }
            LocalRegisterFile.add(columns, to: &rows[rows.count - 1].node)
        }
        return rows
    }

    private static func row(_ columns: SQLiteStatement) -> Row {
        Row(
            number: columns.int(0), boot: columns.text(1), expiry: UInt64(clamping: columns.int(2)),
            revision: columns.int(10),
            node: ServiceNode(
                id: columns.text(5), service: columns.text(4), version: columns.text(6),
                namespace: columns.text(3), addresses: [], weight: UInt32(clamping: columns.int(7)),
                zone: columns.text(8),
                // A state that a later version knows is none that this one may call.
                state: ServiceNode.State(columns.text(9)) ?? .starting))
    }

    private static func add(_ columns: SQLiteStatement, to node: inout ServiceNode) {
        let name = columns.text(13)
        switch Detail(rawValue: columns.text(11)) {
        case .address: node.addresses.append(name)
        case .codec: node.codecs.append(name)
        case .metadata: node.metadata[name] = columns.text(14)
        case .method:
            node.methods.append(
                EndpointDescription(name: name, request: columns.text(14), reply: columns.text(15)))
        case .methodMetadata:
            if let index = Int(exactly: columns.int(12)), node.methods.indices.contains(index) {
                node.methods[index].metadata[name] = columns.text(14)
            }
        case nil: break
        }
    }

    // MARK: Opening

    /// The connection, and whether it is a new one: a file that was deleted or replaced is opened
    /// again.
    private mutating func open() throws -> (SQLiteDatabase, isNew: Bool) {
        if let database, database.isCurrent { return (database, false) }
        database = nil
        if isPrivateFolder { try PrivateFolder.ensure(folder) }
        let opened = try SQLiteDatabase(path: path, durability: .normal)
        try LocalRegisterFile.prepare(opened)
        try LocalRegisterFile.checkPages(of: opened)
        database = opened
        openings += 1
        return (opened, true)
    }

    /// The folder that the file is in.
    var folder: String { parentFolder(of: path) }

    /// "mReg", so that nobody's other database is taken for a register.
    private static let applicationID: Int64 = 0x6d52_6567
    private static let schemaVersion: Int64 = 1

    /// The file is small: reading it once is better than to find damage in a lookup.
    private static func checkPages(of database: SQLiteDatabase) throws {
        try database.query("PRAGMA quick_check(1)") { columns in
            let answer = columns.text(0)
            if answer != "ok" { throw SQLiteError(status: .damaged, detail: answer) }
        }
    }

    private static func prepare(_ database: SQLiteDatabase) throws {
        // A file without the mark is judged inside a transaction only: another process may be
        // writing tables and mark between two questions.
        let mark = try database.number("PRAGMA application_id")
        if mark == applicationID, try isPrepared(database) { return }
        try database.transaction {
            if try isPrepared(database) { return }
            try database.execute(
                """
                CREATE TABLE nodes (
                    row INTEGER PRIMARY KEY,
                    namespace TEXT NOT NULL, service TEXT NOT NULL, id TEXT NOT NULL,
                    version TEXT NOT NULL, weight INTEGER NOT NULL, zone TEXT NOT NULL,
                    state TEXT NOT NULL, boot TEXT NOT NULL, expiry INTEGER NOT NULL,
                    revision INTEGER NOT NULL,
                    UNIQUE (namespace, service, id));
                CREATE TABLE details (
                    row INTEGER NOT NULL REFERENCES nodes(row) ON DELETE CASCADE,
                    kind TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL,
                    a TEXT NOT NULL, b TEXT NOT NULL,
                    PRIMARY KEY (row, kind, position, name)) WITHOUT ROWID;
                CREATE TABLE revision (number INTEGER NOT NULL);
                INSERT INTO revision VALUES (0);
                PRAGMA application_id = \(applicationID);
                PRAGMA user_version = \(schemaVersion);
                """)
        }
    }

    /// - Returns: false for an empty file.
    /// - Throws: ``MicroError`` for a database that is something else.
    private static func isPrepared(_ database: SQLiteDatabase) throws -> Bool {
        let application = try database.number("PRAGMA application_id") ?? 0
        let version = try database.number("PRAGMA user_version") ?? 0
        if application == applicationID {
            if version == schemaVersion { return true }
            throw MicroError(
                "register", .failedPrecondition,
                "\(database.path) is a register of format \(version), and this program knows format"
                    + " \(schemaVersion): use one version of Micro on this machine, or delete the"
                    + " file when nothing uses it")
        }
        let tables = try database.number("SELECT count(*) FROM sqlite_schema") ?? 0
        guard application == 0, version == 0, tables == 0 else {
            throw MicroError(
                "register", .failedPrecondition,
                "\(database.path) is the database of something else: choose another path for the"
                    + " register")
        }
        return false
    }
}
