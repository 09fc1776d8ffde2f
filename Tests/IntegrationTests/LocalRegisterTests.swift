import MicroTesting
import Testing

@testable import Micro

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Real files, real locks, real processes.
@Suite(.timeLimit(.minutes(2))) struct LocalRegisterTests {
    private static let hour = Duration.seconds(3600)

    @Test(arguments: RegisterConformance.checks)
    func conforms(_ check: String) async throws {
        try await withFolder { folder in
            try await RegisterConformance { LocalRegister(path: folder + "/register.sqlite") }
                .run([check])
        }
    }

    @Test func conformsInASimulation() async throws {
        try await withFolder { folder in
            try await withSimulation(seed: 3) {
                try await RegisterConformance { LocalRegister(path: folder + "/register.sqlite") }
                    .run()
            }
        }
    }

    @Test func twoObjectsShareAFile() async throws {
        try await withRegisters(2) { registers in
            let (here, there) = (registers[0], registers[1])
            var events = there.watch("apples").makeAsyncIterator()
            #expect(await events.next()?.change == .snapshot([]))
            var node = testNode("a")
            try await here.register(node, ttl: Self.hour)
            #expect(await events.next()?.change == .added(node))
            #expect(try await there.lookup("apples") == [node])
            node.metadata["x"] = "1"
            try await here.register(node, ttl: Self.hour)
            #expect(await events.next()?.change == .updated(node))

            // Only its owner takes a node out, so a late goodbye cannot remove a successor.
            try await there.deregister(node)
            #expect(try await here.lookup("apples") == [node])
            try await there.register(node, ttl: Self.hour)
            // The former owner is told, and does not take it back.
            let error = await failure { try await here.register(node, ttl: Self.hour) }
            #expect(error?.code == .alreadyExists)
            try await there.register(node, ttl: Self.hour)
            try await here.deregister(node)
            #expect(try await here.lookup("apples") == [node])
            try await there.deregister(node)
            #expect(await events.next()?.change == .removed(node))
            #expect(try await here.list().isEmpty)
        }
    }

    /// A former owner may come back when its successor has gone.
    @Test func anIdIsFreeAgainWhenItsOwnerGoes() async throws {
        try await withRegisters(3) { registers in
            try await registers[0].register(testNode("a"), ttl: Self.hour)
            try await registers[1].register(testNode("a"), ttl: Self.hour)
            await registers[1].close()
            #expect(try await registers[2].lookup("apples").isEmpty)
            try await registers[0].register(testNode("a"), ttl: Self.hour)
            #expect(try await registers[2].lookup("apples") == [testNode("a")])
        }
    }

    @Test func closingTakesOutWhatWasRegistered() async throws {
        try await withRegisters(2) { registers in
            try await registers[0].register(testNode("a"), ttl: Self.hour)
            try await registers[1].register(testNode("b"), ttl: Self.hour)
            await registers[0].close()
            #expect(try await registers[1].lookup("apples") == [testNode("b")])
        }
    }

    @Test func aDroppedObjectIsADeadNode() async throws {
        try await withFolder { folder in
            let path = folder + "/register.sqlite"
            let reader = LocalRegister(path: path)
            var events = reader.watch("apples").makeAsyncIterator()
            #expect(await events.next()?.change == .snapshot([]))
            do {
                let owner = LocalRegister(path: path)
                try await owner.register(testNode("a"), ttl: Self.hour)
                #expect(await events.next()?.change == .added(testNode("a")))
            }
            #expect(await events.next()?.change == .removed(testNode("a")))
            #expect(try await rows(path) == 0)  // and its row is deleted
            await reader.close()
        }
    }

    /// Another process holds the lock of a node and is killed with SIGKILL.
    @Test func aKilledProcessIsADeadNodeAtOnce() async throws {
        try await withFolder { folder in
            let path = folder + "/register.sqlite"
            let reader = LocalRegister(path: path)
            try await reader.register(testNode("stays"), ttl: Self.hour)
            let process = try HelperProcess(lockingRow: 4711, of: path)
            // The row that the process would have written, with a life of an hour.
            let expiry = Environment.current.clock.now.advanced(by: Self.hour).nanoseconds
            try await Environment.current.offload {
                let database = try SQLiteDatabase(path: path)
                try database.transaction {
                    try database.run(
                        """
                        INSERT INTO nodes VALUES
                        (4711, 'micro', 'apples', 'killed', '1', 100, '', 'ready', ?1, ?2, 99)
                        """, .text(MachineBoot.id), .int(Int64(clamping: expiry)))
                    try database.run(
                        """
                        INSERT INTO details VALUES
                        (4711, 'address', 0, 'tcp://127.0.0.1:1', '', '')
                        """)
                    try database.run("UPDATE revision SET number = number + 1")
                }
            }
            let both = [testNode("killed"), testNode("stays")]
            var events = reader.watch("apples").makeAsyncIterator()
            #expect(await events.next()?.change == .snapshot(both))
            #expect(try await reader.lookup("apples") == both)
            process.kill()
            #expect(try await reader.lookup("apples") == [testNode("stays")])  // no waiting
            #expect(await events.next()?.change == .removed(testNode("killed")))
            #expect(try await rows(path) == 1)
            await reader.close()
        }
    }

    @Test func timesOfAnotherStartOfTheMachineMeanNothing() async throws {
        try await withFolder { folder in
            let path = folder + "/register.sqlite"
            let register = LocalRegister(path: path)
            try await register.register(testNode("a"), ttl: Self.hour)
            func move(toBoot boot: String) async throws {
                try await Environment.current.offload {
                    let database = try SQLiteDatabase(path: path)
                    try database.run("UPDATE nodes SET boot = ?1", .text(boot))
                    try database.run("UPDATE revision SET number = number + 1")
                }
            }
            try await move(toBoot: "former")
            #expect(try await register.lookup("apples").isEmpty)
            #expect(try await rows(path) == 1)  // its lock is held: it is not ours to delete
            try await move(toBoot: MachineBoot.id)
            #expect(try await register.lookup("apples") == [testNode("a")])
            try await move(toBoot: "former")
            await register.close()
            let other = LocalRegister(path: path)
            try await other.register(testNode("b"), ttl: Self.hour)
            #expect(try await other.lookup("apples") == [testNode("b")])
            #expect(try await rows(path) == 1)
            await other.close()
        }
    }

    // MARK: Faults

    @Test func aDeletedFileIsMadeAnewAndNodesComeBack() async throws {
        try await withRegisters(2) { registers in
            let (owner, reader) = (registers[0], registers[1])
            try await owner.register(testNode("a"), ttl: Self.hour)
            var events = reader.watch("apples").makeAsyncIterator()
            #expect(await events.next()?.change == .snapshot([testNode("a")]))
            let path = String(owner.describe().dropFirst("the local register ".count))
            for suffix in ["", "-wal", "-shm", ".locks"] { _ = unlink(path + suffix) }
            // Not "removed": the register has lost its memory, the node was not taken out.
            #expect(await events.next()?.change == .snapshot([]))
            try await owner.register(testNode("a"), ttl: Self.hour)  // the next heartbeat
            #expect(await events.next()?.change == .added(testNode("a")))
            #expect(try await reader.lookup("apples") == [testNode("a")])
            try await owner.register(testNode("a"), ttl: Self.hour)
            try await owner.deregister(testNode("a"))
            #expect(await events.next()?.change == .removed(testNode("a")))
        }
    }

    /// A folder that is not there: an error that says so; watchers go on when it comes.
    @Test func aMissingFolderIsWaitedFor() async throws {
        try await withFolder { folder in
            let path = folder + "/later/register.sqlite"
            let register = LocalRegister(path: path)
            var events = register.watch("apples").makeAsyncIterator()
            guard case .interrupted(let error) = await events.next()?.change else {
                Issue.record("the watch does not say that the register cannot be reached")
                return
            }
            for error in [error, await failure { _ = try await register.lookup("apples") }] {
                #expect(error?.code == .unavailable)
                #expect(error?.detail.contains(path) == true)
                #expect(error?.detail.contains("make the folder \(folder)/later") == true)
            }
            #expect(mkdir(folder + "/later", 0o700) == 0)
            #expect(await events.next()?.change == .snapshot([]))
            try await register.register(testNode("a"), ttl: Self.hour)
            #expect(await events.next()?.change == .added(testNode("a")))
            await register.close()
        }
    }

    @Test func aLockedFileIsUnavailableAndThenGoesOn() async throws {
        try await withRegisters(1) { registers in
            let register = registers[0]
            try await register.register(testNode("a"), ttl: Self.hour)
            let path = String(register.describe().dropFirst("the local register ".count))
            // A writer that keeps its lock longer than anybody waits.
            let blocker = Blocker(path)
            try await blocker.begin()
            let error = await failure { try await register.register(testNode("b"), ttl: Self.hour) }
            #expect(error?.code == .unavailable)
            #expect(error?.detail.contains(path) == true)
            #expect(error?.detail.contains("locked") == true)
            #expect(error?.isRetryable == true)
            #expect(try await register.lookup("apples") == [testNode("a")])  // readers go on
            try await blocker.end()
            try await register.register(testNode("b"), ttl: Self.hour)
            #expect(try await register.lookup("apples").count == 2)
        }
    }

    @Test func damageNamesTheFile() async throws {
        try await withFolder { folder in
            let path = folder + "/register.sqlite"
            try write(String(repeating: "no database ", count: 1000), to: path)
            let register = LocalRegister(path: path)
            let error = await failure { _ = try await register.lookup("apples") }
            #expect(error?.code == .dataLoss)
            #expect(error?.detail.contains(path) == true)
            #expect(error?.detail.contains("delete it") == true)
            var events = register.watch("apples").makeAsyncIterator()
            guard case .interrupted(let told) = await events.next()?.change else {
                Issue.record("the watch does not say so")
                return
            }
            #expect(told.code == .dataLoss)
            #expect(unlink(path) == 0)
            #expect(await events.next()?.change == .snapshot([]))
            await register.close()
        }
    }

    @Test func otherDatabasesAreLeftAlone() async throws {
        try await withFolder { folder in
            let (foreign, newer) = (folder + "/foreign.sqlite", folder + "/newer.sqlite")
            try await Environment.current.offload {
                try SQLiteDatabase(path: foreign).execute("CREATE TABLE accounts (id)")
            }
            let first = LocalRegister(path: newer)
            try await first.register(testNode("a"), ttl: Self.hour)
            await first.close()
            try await Environment.current.offload {
                try SQLiteDatabase(path: newer).execute("PRAGMA user_version = 2")
            }
            for (path, says) in [(foreign, "something else"), (newer, "format 2")] {
                let register = LocalRegister(path: path)
                let error = await failure {
                    try await register.register(testNode("a"), ttl: Self.hour)
                }
                #expect(error?.code == .failedPrecondition)
                #expect(error?.detail.contains(path) == true)
                #expect(error?.detail.contains(says) == true)
                await register.close()
            }
            let tables = try await Environment.current.offload {
                try SQLiteDatabase(path: foreign).number("SELECT count(*) FROM sqlite_schema")
            }
            #expect(tables == 1)
        }
    }

    @Test func theDefaultFolderMustBePrivate() async throws {
        try await withFolder { folder in
            #expect(throws: Never.self) { try PrivateFolder.ensure(folder + "/micro") }
            #expect(chmod(folder + "/micro", 0o777) == 0)
            let error = #expect(throws: SQLiteError.self) {
                try PrivateFolder.ensure(folder + "/micro")
            }
            #expect(error?.isDenied == true)
        }
        #expect(PrivateFolder.runtime.hasPrefix("/"))
        let standard = PrivateFolder.runtime + "/register.sqlite"
        #expect(LocalRegister().describe() == "the local register \(standard)")
    }

    /// Many objects, each with its connection, write to one file at once.
    @Test func manyWritersAtOnce() async throws {
        try await withRegisters(6) { registers in
            var events = registers[0].watch("apples").makeAsyncIterator()
            #expect(await events.next()?.change == .snapshot([]))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (index, register) in registers.enumerated() {
                    group.addTask {
                        for round in 0..<20 {
                            let node = testNode("n\(index)-\(round)")
                            try await register.register(node, ttl: Self.hour)
                            if round % 2 == 1 { try await register.deregister(node) }
                        }
                    }
                }
                try await group.waitForAll()
            }
            let nodes = try await registers[5].lookup("apples")
            #expect(nodes.count == 60)
            var view = ServiceView()
            while view.nodes != nodes, let event = await events.next() { view.apply(event.change) }
            #expect(view.nodes == nodes)
        }
    }

    /// The watch ends, and with it the looking, when nobody is interested any more.
    @Test func nobodyLooksForNobody() async throws {
        try await withFolder { folder in
            weak var dropped: LocalRegister?
            do {
                let register = LocalRegister(path: folder + "/register.sqlite")
                dropped = register
                let events = register.watch()
                var iterator = events.makeAsyncIterator()
                #expect(await iterator.next()?.change == .snapshot([]))
                events.cancel()
                // A second watch is served too, whether or not the first look has ended.
                var again = register.watch().makeAsyncIterator()
                #expect(await again.next()?.change == .snapshot([]))
            }
            let clock = Environment.current.clock
            for _ in 0..<500 where dropped != nil { try await clock.sleep(for: .milliseconds(20)) }
            #expect(dropped == nil)
        }
    }

    // MARK: Helpers

    private func withRegisters(
        _ count: Int, _ body: ([LocalRegister]) async throws -> Void
    ) async throws {
        try await withFolder { folder in
            let registers = (0..<count).map { _ in LocalRegister(path: folder + "/register.sqlite")
            }
            do {
                try await body(registers)
            } catch {
                for register in registers { await register.close() }
                throw error
            }
            for register in registers { await register.close() }
        }
    }

    private func failure(_ body: () async throws -> Void) async -> MicroError? {
        do {
            try await body()
            return nil
        } catch { return error as? MicroError }
    }

    private func rows(_ path: String) async throws -> Int64? {
        try await Environment.current.offload {
            try SQLiteDatabase(path: path).number("SELECT count(*) FROM nodes")
        }
    }
}

/// Holds the write lock of a database from one offload to another.
private actor Blocker {
    private let database: SQLiteDatabaseBox

    init(_ path: String) { database = SQLiteDatabaseBox(path) }
    func begin() throws { try database.open().execute("BEGIN IMMEDIATE") }
    func end() throws { try database.open().execute("ROLLBACK") }

    private final class SQLiteDatabaseBox {
        private let path: String
        private var database: SQLiteDatabase?
        init(_ path: String) { self.path = path }
        func open() throws -> SQLiteDatabase {
            if let database { return database }
            let opened = try SQLiteDatabase(path: path)
            database = opened
            return opened
        }
    }
}

/// A python3 that holds the lock of a row as a process of its own would, until it is killed.
private final class HelperProcess {
    private let pid: pid_t

    init(lockingRow row: Int, of path: String) throws {
        let script = """
            import fcntl, os, struct, sys, time
            f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
            F_OFD_SETLK = 37
            fcntl.fcntl(f, F_OFD_SETLK,
                struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, int(sys.argv[2]), 1, 0))
            os.write(1, b'ready')
            time.sleep(600)
            """
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw MicroError("test", .unavailable, "pipe") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_addclose(&actions, ends[0])
        var pid: pid_t = 0
        let arguments = ["python3", "-c", script, path + ".locks", "\(row)"]
        var words = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        guard posix_spawnp(&pid, "python3", &actions, nil, &words, environ) == 0 else {
            throw MicroError("test", .unavailable, "python3 cannot be started")
        }
        close(ends[1])
        defer { close(ends[0]) }
        var answer = [UInt8](repeating: 0, count: 5)
        guard read(ends[0], &answer, 5) == 5 else {
            throw MicroError("test", .unavailable, "python3 could not take the lock")
        }
        self.pid = pid
    }

    /// Returns when the kernel has cleaned up after it.
    func kill() {
        #if canImport(Glibc)
            _ = Glibc.kill(pid, SIGKILL)
        #elseif canImport(Musl)
            _ = Musl.kill(pid, SIGKILL)
        #else
            _ = Darwin.kill(pid, SIGKILL)
        #endif
        var status: Int32 = 0
        waitpid(pid, &status, 0)
    }
}

private func testNode(_ id: String) -> ServiceNode {
    ServiceNode(id: id, service: "apples", version: "1", addresses: ["tcp://127.0.0.1:1"])
}

private func write(_ text: String, to path: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    defer { close(file) }
    var bytes = Array(text.utf8)
    guard file >= 0, Glibc.write(file, &bytes, bytes.count) == bytes.count else {
        throw MicroError("test", .unavailable, "write \(path)")
    }
}

/// A folder of the test's own, deleted afterwards.
private func withFolder(_ body: (String) async throws -> Void) async throws {
    var template = Array("/tmp/micro-register-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw MicroError("test", .unavailable, "mkdtemp") }
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    do {
        try await body(folder)
    } catch {
        remove(folder: folder)
        throw error
    }
    remove(folder: folder)
}

private func remove(folder: String) {
    guard let directory = opendir(folder) else { return }
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        guard name != ".", name != ".." else { continue }
        if unlink("\(folder)/\(name)") != 0 { remove(folder: "\(folder)/\(name)") }
    }
    closedir(directory)
    rmdir(folder)
}
