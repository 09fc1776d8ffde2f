import Foundation
import Micro
import MicroTesting
import Testing

@testable import MicroRedis

extension EndToEnd {
    /// The store in Redis, against Redis itself.
    @Suite struct RedisStoreTests {
        private func store(
            in server: RedisServer, prefix: String = "micro", limits: StoreLimits? = nil
        ) throws -> RedisStore {
            var options = RedisStoreOptions(server.options)
            options.prefix = prefix
            if let limits { options.limits = limits }
            return try RedisStore(options)
        }

        private func withStore(
            _ arguments: [String] = [], limits: StoreLimits? = nil,
            _ body: (RedisServer, RedisStore) async throws -> Void
        ) async throws {
            try await RedisServer.run(arguments) { server in
                let store = try store(in: server, limits: limits)
                try await body(server, store)
                await store.close()
            }
        }

        @Test func conforms() async throws {
            try await RedisServer.run { server in
                let address = server.endpoint
                let serial = Serial()
                let suite = StoreConformance(shortTTL: .milliseconds(600)) {
                    var options = RedisStoreOptions(RedisOptions(endpoint: address))
                    options.redis.timeout = .seconds(20)
                    options.prefix = "test-\(await serial.next())"
                    return try RedisStore(options)
                }
                try await suite.run()
            }
        }

        private actor Serial {
            private var last = 0
            func next() -> Int {
                last += 1
                return last
            }
        }

        // MARK: The same as in memory

        /// Keys that somebody could take for something else.
        private static var hostileKeys: [String] {
            let alphabet = [
                "{", "}", "%", "_", "*", "?", "[", "(", "-", "+", "\r\n", " ", "/", "\\", "\"", "'",
                "\u{7f}", "\u{1}", "é", "e\u{301}", "\u{ffff}", "\u{10ffff}", "🔑", "$9", ":", "a",
                "ab", "redis.call", "KEYS[1]", "{micro}:records", "0", "-inf", "xff",
            ]
            var keys = alphabet
            for first in alphabet.prefix(14) {
                for second in alphabet.prefix(12) { keys.append(first + second) }
            }
            keys.append(String(repeating: "k", count: 1024))
            return keys
        }

        @Test func hostileKeysAsInMemory() async throws {
            #expect(Self.hostileKeys.count >= 200)
            try await withStore { server, redis in
                let memory = MemoryStore()
                for (number, key) in Self.hostileKeys.enumerated() {
                    let write = StoreBatch.Write(
                        key: key, value: Array(key.utf8.reversed()), contentType: key,
                        metadata: number % 3 == 0 ? ["n": "\(number)"] : [:],
                        fence: number % 5 == 0 ? UInt64(number + 1) : nil)
                    let batch = StoreBatch(operations: [.write(write)])
                    let wanted = try await memory.commit(batch)
                    #expect(try await redis.commit(batch) == wanted, "\(key.debugDescription)")
                }
                for key in Self.hostileKeys + ["nobody"] {
                    let found = try await redis.record(key)
                    #expect(try await memory.record(key) == found, "\(key.debugDescription)")
                }
                for text in Self.hostileKeys.prefix(60) {
                    let queries = [
                        StoreQuery(prefix: text, limit: 7), StoreQuery(suffix: text, limit: 1000),
                        StoreQuery(after: text, limit: 9),
                        StoreQuery(prefix: String(text.prefix(1)), after: text, limit: 3),
                    ]
                    for query in queries {
                        #expect(try await redis.list(query) == memory.list(query), "\(query)")
                    }
                }
                await memory.close()
            }
        }

        @Test func errorsAsInMemory() async throws {
            var limits = StoreLimits(entries: 3, bytes: 1000, valueBytes: 500, batch: 4)
            limits.keyBytes = 64
            try await withStore(limits: limits) { server, redis in
                let memory = MemoryStore(limits: limits)
                func write(
                    _ key: String, _ bytes: Int = 1, ttl: Duration? = nil,
                    if condition: WriteCondition = .any, fence: UInt64? = nil
                ) -> StoreBatch.Operation {
                    .write(
                        .init(
                            key: key, value: [UInt8](repeating: 1, count: bytes), timeToLive: ttl,
                            condition: condition, fence: fence))
                }
                let batches: [[StoreBatch.Operation]] = [
                    [write("a")], [write("b", fence: 9)], [write("a", if: .absent)],
                    [write("b", fence: 8)], [.delete(.init(key: "b", fence: UInt64(Int64.max)))],
                    [write("b", fence: 9)], [write("b", fence: 0)], [write("b", fence: .max)],
                    [write("c", 400), write("d", 400)], [write("e")], [write("c", 501)],
                    [write("c", 500), write("d", 500)], [write("d", 500), write("c", 450)],
                    [.delete(.init(key: "c")), write("e")], [write("", 1)], [write("a\0b")],
                    [write(String(repeating: "k", count: 65))], [write("a", ttl: .zero)],
                    [write("a"), write("a")],
                    [write("a", if: .version(1)), write("x", if: .absent)],
                    (0..<5).map { write("k\($0)") }, [.delete(.init(key: "q", fence: 1))],
                    [.delete(.init(key: "r", fence: 1)), .delete(.init(key: "s", fence: 1))],
                    [.delete(.init(key: "none"))], [.delete(.init(key: "a", condition: .absent))],
                    [],
                ]
                for (number, operations) in batches.enumerated() {
                    let batch = StoreBatch(operations: operations)
                    var wanted: Result<StoreCommit, MicroError>
                    do {
                        wanted = .success(try await memory.commit(batch))
                    } catch {
                        wanted = .failure(try #require(error as? MicroError))
                    }
                    do {
                        let commit = try await redis.commit(batch)
                        #expect(try wanted.get() == commit, "batch \(number)")
                    } catch let error as MicroError {
                        guard case .failure(let other) = wanted else {
                            Issue.record("batch \(number): \(error)")
                            continue
                        }
                        #expect(other == error, "batch \(number)")
                    }
                }
                let keys = StoreQuery(limit: 100)
                #expect(try await redis.list(keys) == memory.list(keys))
                await memory.close()
            }
        }

        // MARK: What Redis does

        @Test func aServerWithoutMemory() async throws {
            try await withStore(["--maxmemory", "8mb"]) { server, store in
                var written: [String] = []
                let value = [UInt8](repeating: 7, count: 100_000)
                var refusal: MicroError?
                while refusal == nil, written.count < 1000 {
                    let key = "k\(written.count)"
                    refusal = await failure { _ = try await store.write(value, at: key) }
                    if refusal == nil { written.append(key) }
                }
                #expect(refusal?.code == .resourceExhausted)
                #expect(refusal?.reason == RedisReason.outOfMemory)
                #expect(!written.isEmpty)
                // Nothing is half there, and what makes room may.
                let page = try await store.list(StoreQuery(limit: 1000))
                #expect(page.keys == written.sorted())
                for key in written { #expect(try await store.record(key)?.value == value) }
                for key in written { try await store.delete(key) }
                #expect(try await store.list(StoreQuery()).keys.isEmpty)
            }
        }

        @Test func dataOfOthers() async throws {
            try await withStore { server, store in
                let redis = RedisClient(server.options)
                try await redis.send(["SET", "{micro}:records", "mine"])
                for call in [
                    { _ = try await store.record("a") }, { _ = try await store.write(1, at: "a") },
                    { _ = try await store.list(StoreQuery()) },
                    { _ = try await store.changes(prefix: "", from: nil) },
                ] as [() async throws -> Void] {
                    #expect(await failure(of: call)?.code == .failedPrecondition)
                }
                #expect(try await redis.send(["GET", "{micro}:records"]).string == "mine")
                try await redis.send(["DEL", "{micro}:records"])
                try await store.write(1, at: "a")
                try await redis.send(["HSET", "{micro}:state", "format", 2])
                let error = await failure { _ = try await store.write(2, at: "a") }
                #expect(error?.reason == "FOREIGN_DATA")
                try await redis.send(["HSET", "{micro}:state", "format", 1])
                try await redis.send(["HSET", "{micro}:records", "a", "damaged"])
                #expect(await failure { _ = try await store.record("a") }?.code == .dataLoss)
                await redis.close()
            }
        }

        @Test func passwordsAndURLs() async throws {
            try await RedisServer.run(["--requirepass", "s3cret"]) { server in
                let wrong = try makeStore(
                    url: "redis://:wr0ng@\(server.endpoint)", engines: RedisStore.engines)
                let error = await failure { _ = try await wrong.write(1, at: "a") }
                #expect(error?.code == .unauthenticated)
                await wrong.close()
                let right = try makeStore(
                    url: "redis://:s3cret@\(server.endpoint)/3?prefix=shop",
                    engines: RedisStore.engines)
                try await right.write(1, at: "a")
                #expect(try await right.read("a") == 1)
                await right.close()
            }
        }

        /// What was acknowledged is there after the server was killed.
        @Test func killedUnderLoad() async throws {
            let arguments = ["--appendonly", "yes", "--appendfsync", "always"]
            try await withStore(arguments) { server, store in
                for round in 0..<3 {
                    let acknowledged = try await withThrowingTaskGroup(of: [String: UInt64].self) {
                        group in
                        for task in 0..<4 {
                            group.addTask { await Self.load(store, "\(round)/\(task)") }
                        }
                        try await Task.sleep(for: .milliseconds(300))
                        try await server.kill()
                        return try await group.reduce(into: [:]) { $0.merge($1) { $1 } }
                    }
                    try await server.restart()
                    #expect(!acknowledged.isEmpty)
                    for (key, version) in acknowledged {
                        let found = try await until("redis is back") {
                            do {
                                return .some(try await store.record(key))
                            } catch let error as MicroError where error.code == .unavailable {
                                return nil
                            }
                        }
                        #expect(found?.version == version, "\(key)")
                    }
                    let last = acknowledged.values.max() ?? 0
                    let next = try await store.write(round, at: "after")
                    #expect(next > last)
                }
            }
        }

        /// Writes until the store fails, and says what was acknowledged.
        private static func load(_ store: RedisStore, _ prefix: String) async -> [String: UInt64] {
            var acknowledged: [String: UInt64] = [:]
            for number in 0..<100_000 {
                let key = "\(prefix)/\(number)"
                guard let version = try? await store.write(number, at: key) else { break }
                acknowledged[key] = version
            }
            return acknowledged
        }

        // MARK: Watches

        @Test func watchesAcrossProcesses() async throws {
            try await RedisServer.run { server in
                var options = RedisStoreOptions(server.options)
                options.pollInterval = .seconds(3600)
                let (one, other) = (try RedisStore(options), try RedisStore(options))
                let changes = try await one.changes(prefix: "a", from: nil)
                for number in 0..<300 {
                    try await other.write(number, at: "a\(number % 7)")
                    if number % 3 == 0 { try await other.write(number, at: "b") }
                }
                var last: UInt64 = 0
                for number in 0..<300 {
                    let change = try #require(try await changes.next())
                    #expect(change.key == "a\(number % 7)")
                    #expect(change.revision > last)
                    last = change.revision
                }
                // Told at once: nobody looks for an hour.
                async let late = changes.next()
                try await Task.sleep(for: .milliseconds(100))
                let started = ContinuousClock.now
                try await other.write(1, at: "a")
                #expect(try await late?.key == "a")
                #expect(ContinuousClock.now - started < .seconds(5))
                // The one who wrote it is gone when the time of a record is over.
                try await other.write(1, at: "a-short", ttl: .milliseconds(300))
                await other.close()
                #expect(try await changes.next()?.key == "a-short")
                #expect(try await changes.next()?.kind == .expired)
                await one.close()
            }
        }

        @Test func aWatchOutlivesARestart() async throws {
            let arguments = ["--appendonly", "yes", "--appendfsync", "always"]
            try await withStore(arguments) { server, store in
                let changes = try await store.changes(prefix: "", from: nil)
                try await store.write(1, at: "a")
                #expect(try await changes.next()?.key == "a")
                async let next = changes.next()
                try await server.kill()
                try await server.restart()
                try await until("redis is back") {
                    (try? await store.write(2, at: "b")) != nil
                }
                #expect(try await next?.key == "b")
            }
        }

        @Test func aStoreThatHasLostItsData() async throws {
            try await withStore { server, store in
                for number in 0..<5 { try await store.write(number, at: "a") }
                let changes = try await store.changes(prefix: "", from: nil)
                try await store.write(5, at: "a")
                #expect(try await changes.next()?.key == "a")
                async let error = failure { _ = try await changes.next() }
                try await server.kill()
                try await server.restart()
                try await until("redis is back") { (try? await store.write(1, at: "b")) != nil }
                #expect(await error?.reason == "CHANGES_COMPACTED")
                #expect(try await store.list(StoreQuery()).keys == ["b"])
                let anew = try await store.changes(prefix: "", from: nil)
                try await store.write(2, at: "c")
                #expect(try await anew.next()?.key == "c")
            }
        }

        @Test func forgottenChanges() async throws {
            let limits = StoreLimits(changes: 10, changeBytes: 1000)
            try await withStore(limits: limits) { server, store in
                let first = try await store.write(0, at: "a")
                let slow = try await store.changes(prefix: "", from: first)
                for number in 0..<20 { try await store.write(number, at: "a") }
                let error = await failure { _ = try await store.changes(prefix: "", from: first) }
                #expect(error?.code == .outOfRange)
                #expect(error?.reason == "CHANGES_COMPACTED")
                let oldest = try #require(error.flatMap { UInt64($0.metadata["revision"] ?? "") })
                #expect(oldest == first + 11)
                let rest = try await store.changes(prefix: "", from: oldest)
                for revision in oldest...(first + 20) {
                    #expect(try await rest.next()?.revision == revision)
                }
                // What it was given already it still sees, and no gap behind.
                var last = first - 1
                let late = await failure {
                    while let change = try await slow.next() {
                        #expect(change.revision == last + 1)
                        last = change.revision
                        if last == first + 20 { return }
                    }
                }
                #expect(late == nil || late?.reason == "CHANGES_COMPACTED")
                // By bytes, the last one is kept however large it is.
                let large = try await store.write([UInt8](repeating: 1, count: 5000), at: "b")
                let bytes = try await store.changes(prefix: "", from: large)
                #expect(try await bytes.next()?.key == "b")
            }
        }
    }
}
