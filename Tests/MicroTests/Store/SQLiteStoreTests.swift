import Foundation
import MicroTesting
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(5))) struct SQLiteStoreTests {
    @Test(arguments: StoreConformance.checks)
    func conforms(check: String) async throws {
        try await withTemporaryFolder { folder in
            // Long enough for a machine on which everything takes its time.
            try await StoreConformance(shortTTL: .seconds(1)) {
                try Self.store(folder, Self.unique())
            }.run([check])
        }
    }

    @Test(arguments: StoreConformance.checks, [1, 2] as [UInt64])
    func conformsInASimulation(check: String, seed: UInt64) async throws {
        try await withTemporaryFolder { folder in
            try await withSimulation(seed: seed) {
                try await StoreConformance { try Self.store(folder, Self.unique()) }.run([check])
            }
        }
    }

    private static func unique() -> String { UUID().uuidString }

    private static func store(
        _ folder: String, _ name: String = "store",
        _ change: (inout SQLiteStoreOptions) -> Void = { _ in }
    ) throws -> SQLiteStore {
        var options = SQLiteStoreOptions()
        change(&options)
        return try SQLiteStore(path: "\(folder)/\(name)", options: options)
    }

    private func next(_ changes: StoreChanges) async throws -> StoreChange {
        try await withTimeout(.seconds(30), on: Environment.current.clock, "test", "a change") {
            try #require(try await changes.next())
        }
    }

    // MARK: What outlives the process

    @Test func everythingOutlivesAClose() async throws {
        try await withTemporaryFolder { folder in
            let first = try Self.store(folder)
            let metadata: Metadata = ["tenant": "acme", "by": "Ada"]
            let version = try await first.write("1", at: "a", metadata: metadata)
            try await first.write("2", at: "b", fencedBy: 7)
            let third = try await first.write("3", at: "c", ttl: .seconds(600))
            await first.close()

            let second = try Self.store(folder)
            let record = try #require(try await second.record("a"))
            #expect(record.version == version)
            #expect(record.metadata == metadata)
            #expect(record.contentType == "application/json")
            #expect(try await second.read("a") == "1")
            let left = try #require(try await second.record("c")?.timeToLive)
            #expect(left > .seconds(500) && left <= .seconds(600))
            await expectError(.failedPrecondition, reason: "STALE_FENCE") {
                try await second.write("x", at: "b", fencedBy: 6)
            }
            let changes = try await second.changes(prefix: "", from: third)
            #expect(try await next(changes).key == "c")
            #expect(try await second.write("4", at: "d") > third)
            #expect(try await next(changes).key == "d")
            await second.close()
        }
    }

    @Test func timeGoesOnWhileNobodyLooks() async throws {
        try await withTemporaryFolder { folder in
            try await withSimulation(seed: 1) {
                let clock = Environment.current.clock
                let first = try Self.store(folder)
                try await first.write("1", at: "a", ttl: .seconds(10))
                try await first.write("1", at: "b", ttl: .seconds(30))
                await first.close()
                try await clock.sleep(for: .seconds(11))
                let second = try Self.store(folder)
                #expect(try await second.record("a") == nil)
                let left = try #require(try await second.record("b")?.timeToLive)
                #expect(left <= .seconds(19) && left > .seconds(18))
                // The one that is over is taken out, and seen to be.
                let changes = try await second.changes()
                let gone = try await next(changes)
                #expect(gone.key == "a" && gone.kind == .expired)
                let later = try await next(changes)
                #expect(later.key == "b" && later.kind == .expired)
                await second.close()
            }
        }
    }

    @Test func anotherSimulationGoesOnWithTheFile() async throws {
        try await withTemporaryFolder { folder in
            for round in 1...3 {
                try await withSimulation(seed: 1) {
                    let store = try Self.store(folder)
                    let clock = store.environment.clock
                    #expect(try await store.read("n") == (round == 1 ? nil : round - 1))
                    try await store.write(round, at: "n", ttl: .seconds(1_000))
                    try await store.write(round, at: "short", ttl: .seconds(1))
                    #expect(try await store.read("short") == round)
                    try await clock.sleep(for: .seconds(2))
                    #expect(try await store.record("short") == nil)
                    await store.close()
                }
            }
        }
    }

    // MARK: Several stores on one file

    @Test func twoStoresShareAFile() async throws {
        try await withTemporaryFolder { folder in
            let here = try Self.store(folder)
            let there = try Self.store(folder)
            let changes = try await there.changes(prefix: "k", from: nil)
            let version = try await here.write("1", at: "k")
            // What has returned here is seen there.
            #expect(try await there.record("k")?.version == version)
            #expect(try await next(changes).revision == version)
            let second = try await there.write("2", at: "k", if: .version(version))
            await expectError(.conflict, reason: "VERSION_CONFLICT") {
                try await here.write("3", at: "k", if: .version(version))
            }
            #expect(try await next(changes).revision == second)
            try await here.delete("k")
            #expect(try await next(changes).kind == .deleted)
            try await here.write("4", at: "k", ttl: .milliseconds(100))
            await here.close()
            guard case .written = try await next(changes).kind else {
                Issue.record("no write was seen")
                return
            }
            // Its writer is gone: the other one takes it out.
            #expect(try await next(changes).kind == .expired)
            await there.close()
        }
    }

    @Test func writersOfSeveralStoresTakeTurns() async throws {
        try await withTemporaryFolder { folder in
            let stores = try (0..<3).map { _ in try Self.store(folder) { $0.durability = .crash } }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for store in stores {
                    for _ in 0..<4 {
                        group.addTask {
                            for _ in 0..<10 {
                                try await store.transaction(attempts: 1_000) { tx in
                                    let count: Int = try await tx.read("n") ?? 0
                                    try await tx.write(count + 1, at: "n")
                                }
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            for store in stores {
                #expect(try await store.read("n") == 120)
                await store.close()
            }
        }
    }

    // MARK: Groups

    @Test func commitsShareTransactions() async throws {
        try await withTemporaryFolder { folder in
            try await withSimulation(seed: 1) {
                let store = try Self.store(folder)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for task in 0..<64 {
                        group.addTask {
                            for round in 0..<10 { try await store.write(round, at: "\(task)") }
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(store.transactions < 30)
                #expect(try await store.list(StoreQuery()).keys.count == 64)
                await store.close()
            }
        }
    }

    @Test func commitsShareTransactionsOnThreads() async throws {
        try await withTemporaryFolder { folder in
            let store = try Self.store(folder)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<64 {
                    group.addTask {
                        for round in 0..<10 { try await store.write(round, at: "\(task)") }
                    }
                }
                try await group.waitForAll()
            }
            #expect(store.transactions <= 320)
            await store.close()
        }
    }

    @Test func oneRefusalOfAGroupIsNotThatOfTheOthers() async throws {
        try await withTemporaryFolder { folder in
            try await withSimulation(seed: 1) {
                let store = try Self.store(folder)
                let taken = try await store.write("1", at: "taken")
                let before = store.transactions
                await withTaskGroup(of: Void.self) { group in
                    for number in 0..<10 {
                        group.addTask {
                            if number % 2 == 0 {
                                await expectError(.conflict) {
                                    try await store.write(number, at: "taken", if: .absent)
                                }
                            } else {
                                do { try await store.write(number, at: "\(number)") } catch {
                                    Issue.record(error)
                                }
                            }
                        }
                    }
                }
                #expect(store.transactions - before <= 2)
                #expect(try await store.record("taken")?.version == taken)
                #expect(
                    try await store.list(StoreQuery()).keys == ["1", "3", "5", "7", "9", "taken"])
                await store.close()
            }
        }
    }

    @Test func cancelledCallsGetNothingDone() async throws {
        try await withTemporaryFolder { folder in
            try await withSimulation(seed: 1) {
                let store = try Self.store(folder)
                for _ in 0..<20 {
                    await withTaskGroup(of: Void.self) { group in
                        group.addTask {
                            await #expect(throws: CancellationError.self) {
                                try await store.write("1", at: "a")
                            }
                            await #expect(throws: CancellationError.self) {
                                _ = try await store.record("a")
                            }
                        }
                        group.cancelAll()
                    }
                }
                #expect(try await store.exists("a") == false)
                await store.close()
            }
        }
    }

    // MARK: Limits

    @Test func limitsAreKept() async throws {
        try await withTemporaryFolder { folder in
            let store = try Self.store(folder) {
                $0.limits = StoreLimits(
                    entries: 2, bytes: 100, keyBytes: 4, valueBytes: 60, batch: 3)
            }
            try await store.write("1", at: "a")
            try await store.write("1", at: "b")
            let full = await expectError(.resourceExhausted, reason: "STORE_FULL") {
                try await store.write("1", at: "c")
            }
            #expect(full?.detail.contains("entries is 2") == true)
            try await store.delete("b")
            try await store.write("1", at: "c")
            await expectError(.invalidArgument) { try await store.write("1", at: "long!") }
            await expectError(.payloadTooLarge) {
                try await store.write([UInt8](repeating: 0, count: 61), at: "a")
            }
            let large = [UInt8](repeating: 0, count: 60)
            try await store.write(large, at: "a")
            let bytes = await expectError(.resourceExhausted, reason: "STORE_FULL") {
                try await store.write(large, at: "c")
            }
            #expect(bytes?.detail.contains("bytes is 100") == true)
            #expect(try await store.read("c") == "1")
            try await store.write([0] as [UInt8], at: "a")
            try await store.write(large, at: "c")
            await expectError(.invalidArgument) {
                try await store.commit(
                    StoreBatch(operations: (0..<4).map { .delete(.init(key: "\($0)")) }))
            }
            await store.close()
        }
    }

    @Test func whoFallsBehindIsTold() async throws {
        try await withTemporaryFolder { folder in
            try await withSimulation(seed: 1) {
                let store = try Self.store(folder) { $0.limits.changes = 100 }
                let slow = try await store.changes()
                for number in 1...3 { try await store.write(number, at: "a") }
                #expect(try await slow.next()?.revision == 1)
                for number in 4...600 { try await store.write(number, at: "a") }
                let error = await expectError(.outOfRange, reason: "CHANGES_COMPACTED") {
                    while let change = try await slow.next() { #expect(change.revision < 300) }
                }
                // The log may be a little longer than asked for.
                let first = try #require(UInt64(error?.metadata["revision"] ?? ""))
                #expect((450...501).contains(first))
                await expectError(.outOfRange, reason: "CHANGES_COMPACTED") {
                    _ = try await store.changes(prefix: "", from: first - 1)
                }
                let remembered = try await store.changes(prefix: "", from: first)
                for revision in first...600 {
                    #expect(try await remembered.next()?.revision == revision)
                }
                await store.close()
            }
        }
    }

    @Test func optionsAreChecked() throws {
        let changes: [(String, (inout SQLiteStoreOptions) -> Void)] = [
            ("readers", { $0.readers = 0 }), ("readers", { $0.readers = 17 }),
            ("waiting", { $0.waiting = 0 }), ("busyTimeout", { $0.busyTimeout = .zero }),
            ("patience", { $0.patience = .seconds(-1) }),
            ("limits.entries", { $0.limits.entries = 0 }),
            ("limits.changes", { $0.limits.changes = 0 }),
        ]
        for (name, change) in changes {
            let error = try #require(throws: MicroError.self) {
                try Self.store("/tmp", "x", change)
            }
            #expect(error.code == .invalidArgument)
            #expect(error.detail.contains("options.\(name) "))
        }
        for path in ["", "x", "./x", "/tmp/", "/tmp/a\0b"] {
            #expect(throws: MicroError.self) { try SQLiteStore(path: path) }
        }
        for name in ["", "A", "a/b", "..", "a.b", String(repeating: "a", count: 65)] {
            #expect(throws: MicroError.self) { try SQLiteStore(name: name) }
        }
    }

    // MARK: Files that are something else

    @Test func foreignFilesAreRefusedAndLeftAlone() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/store"
            let text = Data("these are not records\n".utf8)
            try text.write(to: URL(fileURLWithPath: path))
            try await failsToOpen(folder, [.failedPrecondition, .dataLoss])
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == text)

            try FileManager.default.removeItem(atPath: path)
            do {
                let other = try SQLiteDatabase(path: path)
                try other.execute(
                    "CREATE TABLE things (name TEXT); INSERT INTO things VALUES ('x')")
            }
            try await failsToOpen(folder, [.failedPrecondition])
            let other = try SQLiteDatabase(path: path)
            #expect(try other.number("SELECT count(*) FROM things") == 1)
        }
    }

    private func failsToOpen(_ folder: String, _ codes: Set<MicroError.Code>) async throws {
        let store = try Self.store(folder)
        let calls: [() async throws -> Void] = [
            { _ = try await store.record("a") }, { try await store.write("1", at: "a") },
            { _ = try await store.list(StoreQuery()) }, { _ = try await store.changes() },
        ]
        for call in calls {
            let error = try await #require(throws: MicroError.self) { try await call() }
            #expect(codes.contains(error.code), "\(error)")
            #expect(error.detail.contains(folder + "/store"))
        }
        await store.close()
    }

    @Test func damageIsSeen() async throws {
        try await withTemporaryFolder { folder in
            let store = try Self.store(folder)
            for number in 0..<200 {
                try await store.write([UInt8](repeating: 7, count: 2_000), at: "\(number)")
            }
            await store.close()
            let url = URL(fileURLWithPath: folder + "/store")
            var bytes = try Data(contentsOf: url)
            bytes.replaceSubrange(
                8_192..<bytes.count, with: Data(repeating: 0xA5, count: bytes.count - 8_192))
            try bytes.write(to: url)
            let damaged = try Self.store(folder)
            let error = try await #require(throws: MicroError.self) {
                for number in 0..<200 { _ = try await damaged.record("\(number)") }
            }
            #expect(error.code == .dataLoss, "\(error)")
            await damaged.close()
        }
    }

    @Test func aFolderThatIsMissing() async throws {
        try await withTemporaryFolder { folder in
            let store = try SQLiteStore(path: folder + "/deeper/store")
            let error = await expectError(.unavailable, reason: "STORE_MISSING") {
                try await store.write("1", at: "a")
            }
            #expect(error?.detail.contains("deeper") == true)
            // It is made meanwhile.
            try FileManager.default.createDirectory(
                atPath: folder + "/deeper", withIntermediateDirectories: false)
            try await store.write("1", at: "a")
            #expect(try await store.read("a") == "1")
            await store.close()
        }
    }

    @Test func anotherFileInItsPlaceIsOpened() async throws {
        try await withTemporaryFolder { folder in
            let store = try Self.store(folder)
            try await store.write("old", at: "a")
            #expect(try await store.read("a") == "old")
            for file in try FileManager.default.contentsOfDirectory(atPath: folder) {
                try FileManager.default.removeItem(atPath: "\(folder)/\(file)")
            }
            #expect(try await store.record("a") == nil)
            try await store.write("new", at: "a")
            let other = try Self.store(folder)
            #expect(try await other.read("a") == "new")
            await other.close()
            await store.close()
        }
    }

    @Test func theFileIsTheUsersOwn() async throws {
        try await withTemporaryFolder { folder in
            let store = try Self.store(folder)
            try await store.write("1", at: "a")
            let facts = try FileManager.default.attributesOfItem(atPath: folder + "/store")
            #expect(facts[.posixPermissions] as? Int == 0o600)
            await store.close()
        }
    }

    // MARK: The end

    @Test func aStoreThatNobodyHoldsIsGone() async throws {
        try await withTemporaryFolder { folder in
            try await withSimulation(seed: 1) {
                weak var gone: SQLiteStore?
                do {
                    let store = try Self.store(folder)
                    gone = store
                    try await store.write("1", at: "a", ttl: .seconds(900))
                    let changes = try await store.changes()
                    try await store.write("2", at: "b")
                    _ = try await changes.next()
                }
                #expect(gone == nil)
            }
        }
    }

    @Test func closingWaitsForWhatWasBegun() async throws {
        try await withTemporaryFolder { folder in
            let store = try Self.store(folder)
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        do {
                            try await store.write(number, at: "\(number)")
                            return true
                        } catch let error as MicroError where error.reason == "STORE_CLOSED" {
                            return false
                        }
                    }
                }
                await store.close()
                await store.close()
                var count = 0
                for try await isWritten in group where isWritten { count += 1 }
                let again = try Self.store(folder)
                #expect(try await again.list(StoreQuery()).keys.count == count)
                await again.close()
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["store"])
        }
    }
}
