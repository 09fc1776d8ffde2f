import Foundation
import MicroTesting
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(5))) struct SQLiteStoreTests {
    @Test(arguments: StoreConformance.checks)
    func conforms(check: String) async throws {
        try await withTemporaryFolder { folder in
            // Long enough for a machine on which everything takes its time.
            try await StoreConformance(shortTTL: .seconds(4)) {
                try sqliteStore(folder, UUID().uuidString)
            }.run([check])
        }
    }

    // MARK: What outlives the process

    @Test func everythingOutlivesAClose() async throws {
        try await withTemporaryFolder { folder in
            let first = try sqliteStore(folder)
            let metadata: Metadata = ["tenant": "acme", "by": "Ada"]
            let version = try await first.write("1", at: "a", metadata: metadata)
            try await first.write("2", at: "b", fencedBy: 7)
            let third = try await first.write("3", at: "c", ttl: .seconds(600))
            await first.close()

            let second = try sqliteStore(folder)
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
            #expect(try await nextChange(changes).key == "c")
            #expect(try await second.write("4", at: "d") > third)
            #expect(try await nextChange(changes).key == "d")
            await second.close()
        }
    }

    // MARK: Several stores on one file

    @Test func twoStoresShareAFile() async throws {
        try await withTemporaryFolder { folder in
            let here = try sqliteStore(folder)
            let there = try sqliteStore(folder)
            let changes = try await there.changes(prefix: "k", from: nil)
            let version = try await here.write("1", at: "k")
            // What has returned here is seen there.
            #expect(try await there.record("k")?.version == version)
            #expect(try await nextChange(changes).revision == version)
            let second = try await there.write("2", at: "k", if: .version(version))
            await expectError(.conflict, reason: "VERSION_CONFLICT") {
                try await here.write("3", at: "k", if: .version(version))
            }
            #expect(try await nextChange(changes).revision == second)
            try await here.delete("k")
            #expect(try await nextChange(changes).kind == .deleted)
            try await here.write("4", at: "k", ttl: .milliseconds(100))
            await here.close()
            guard case .written = try await nextChange(changes).kind else {
                Issue.record("no write was seen")
                return
            }
            // Its writer is gone: the other one takes it out.
            #expect(try await nextChange(changes).kind == .expired)
            await there.close()
        }
    }

    @Test func writersOfSeveralStoresTakeTurns() async throws {
        try await withTemporaryFolder { folder in
            let stores = try (0..<3).map { _ in try sqliteStore(folder) { $0.durability = .crash } }
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
            let store = try sqliteStore(folder)
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

    // MARK: Limits

    @Test func limitsAreKept() async throws {
        try await withTemporaryFolder { folder in
            let store = try sqliteStore(folder) {
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

    @Test func optionsAreChecked() throws {
        let changes: [(String, (inout SQLiteStoreOptions) -> Void)] = [
            ("readers", { $0.readers = 0 }), ("readers", { $0.readers = 17 }),
            ("waiting", { $0.waiting = 0 }), ("busyTimeout", { $0.busyTimeout = .zero }),
            ("patience", { $0.patience = .seconds(-1) }),
            ("limits.entries", { $0.limits.entries = 0 }),
            ("limits.changes", { $0.limits.changes = 0 }),
            ("limits.whenFull", { $0.limits.whenFull = .evictLeastRecentlyUsed }),
        ]
        for (name, change) in changes {
            let error = try #require(throws: MicroError.self) {
                try sqliteStore("/tmp", "x", change)
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
        let store = try sqliteStore(folder)
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
            let store = try sqliteStore(folder)
            for number in 0..<200 {
                try await store.write([UInt8](repeating: 7, count: 2_000), at: "\(number)")
            }
            await store.close()
            let url = URL(fileURLWithPath: folder + "/store")
            var bytes = try Data(contentsOf: url)
            bytes.replaceSubrange(
                8_192..<bytes.count, with: Data(repeating: 0xA5, count: bytes.count - 8_192))
            try bytes.write(to: url)
            let damaged = try sqliteStore(folder)
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
            let store = try sqliteStore(folder)
            try await store.write("old", at: "a")
            #expect(try await store.read("a") == "old")
            for file in try FileManager.default.contentsOfDirectory(atPath: folder) {
                try FileManager.default.removeItem(atPath: "\(folder)/\(file)")
            }
            #expect(try await store.record("a") == nil)
            try await store.write("new", at: "a")
            let other = try sqliteStore(folder)
            #expect(try await other.read("a") == "new")
            await other.close()
            await store.close()
        }
    }

    @Test func theFileIsTheUsersOwn() async throws {
        try await withTemporaryFolder { folder in
            let store = try sqliteStore(folder)
            try await store.write("1", at: "a")
            let facts = try FileManager.default.attributesOfItem(atPath: folder + "/store")
            #expect(facts[.posixPermissions] as? Int == 0o600)
            await store.close()
        }
    }

    // MARK: The end

    @Test func closingWaitsForWhatWasBegun() async throws {
        try await withTemporaryFolder { folder in
            let store = try sqliteStore(folder)
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
                let again = try sqliteStore(folder)
                #expect(try await again.list(StoreQuery()).keys.count == count)
                await again.close()
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["store"])
        }
    }
}
