public import Micro

/// What every ``Store`` does, as checks that an implementation runs in its own tests.
///
/// ```swift
/// @Test func conforms() async throws {
///     try await withSimulation(seed: 1) {
///         try await StoreConformance { MemoryStore() }.run()
///     }
/// }
/// ```
/// Each check gets a store of its own, closed afterwards.
public struct StoreConformance: Sendable {
    private let make: @Sendable () async throws -> any Store
    let patience: Duration
    private let shortTTL: Duration

    /// A suite for one implementation.
    ///
    /// - Parameters:
    ///   - shortTTL: A time to live that a check can wait for.
    ///   - patience: How long to wait for something before it counts as missing.
    ///   - make: Makes a store that nobody else uses.
    public init(
        shortTTL: Duration = .milliseconds(300), patience: Duration = .seconds(30),
        make: @escaping @Sendable () async throws -> any Store
    ) {
        self.make = make
        self.patience = patience
        self.shortTTL = shortTTL
    }

    /// The checks that failed, and how.
    public typealias Failure = ConformanceFailure

    /// The names of the checks, in the order they are run.
    public static var checks: [String] { all.map(\.name) }

    /// Runs all checks, or those named.
    ///
    /// - Throws: ``Failure`` with every check that failed; `CancellationError`.
    public func run(_ names: [String]? = nil) async throws {
        try await runChecks(Self.all, only: names, name: { $0.name }) { check in
            let subject = try await make()
            do {
                try await check.body(self)(subject)
                await subject.close()
            } catch {
                await subject.close()
                throw error
            }
        }
    }

    private struct Check: Sendable {
        var name: String
        var body: @Sendable (StoreConformance) -> (any Store) async throws -> Void
    }

    private static let all: [Check] = [
        Check(name: "what is written comes back") { $0.roundTrip },
        Check(name: "values are typed") { $0.typedValues },
        Check(name: "what can't be decoded is not nil") { $0.undecodable },
        Check(name: "versions grow with every commit") { $0.versions },
        Check(name: "a condition that fails changes nothing") { $0.conditions },
        Check(name: "concurrent increments are all counted") { $0.counter },
        Check(name: "deleting says whether there was something") { $0.deleting },
        Check(name: "a record expires, not early") { $0.expiry },
        Check(name: "writing again replaces the time to live") { $0.renewedTTL },
        Check(name: "what is wrong is refused") { $0.refusals },
        Check(name: "keys are filtered, sorted and then paged") { $0.listing },
        Check(name: "keys are compared byte by byte") { $0.bytewise },
        Check(name: "an expired record takes no place in a page") { $0.expiredListing },
        Check(name: "keys come page by page") { $0.manyKeys },
        Check(name: "a table ends at its separator") { $0.tables },
        Check(name: "a large value is kept") { $0.largeValue },
        Check(name: "a batch happens as a whole or not at all") { $0.batches },
        Check(name: "a transaction is atomic and runs again") { $0.transactions },
        Check(name: "a transaction sees what it wrote") { $0.ownWrites },
        Check(name: "a transaction that throws writes nothing") { $0.failedTransaction },
        Check(name: "transfers keep the sum") { $0.transfers },
        Check(name: "an old fencing token is refused") { $0.fencing },
        Check(name: "a watch sees every change in order") { $0.watching },
        Check(name: "a watch can begin in the past") { $0.resumedWatch },
        Check(name: "a watch sees its prefix and table only") { $0.watchFilter },
        Check(name: "a watch sees records expire") { $0.watchedExpiry },
        Check(name: "a cancelled wait loses no change") { $0.cancelledWatch },
        Check(name: "a slow watch misses nothing") { $0.slowWatch },
        Check(name: "many watches see their changes") { $0.manyWatches },
        Check(name: "hostile keys are keys like others") { $0.hostileKeys },
        Check(name: "hostile names of tables are names like others") { $0.hostileTables },
        Check(name: "prefixes and suffixes are bytes") { $0.edges },
        Check(name: "a list goes on while others write") { $0.listingWhileWriting },
        Check(name: "a large batch is one commit") { $0.largeBatch },
        Check(name: "tokens have a bound") { $0.fenceBounds },
        Check(name: "random operations do what a dictionary does") { $0.randomOperations },
        Check(name: "closing ends everything") { $0.closing },
    ]

    // MARK: Tools

    private struct User: Codable, Sendable, Equatable {
        var name: String
        var age = 36
    }

    func next(_ changes: StoreChanges, _ store: any Store) async throws -> StoreChange {
        let found = try await within(patience, store.environment) { try await changes.next() }
        guard let found, let change = found else {
            throw Wrong("no change came")
        }
        return change
    }

    func collect(_ keys: StoreKeys) async throws -> [String] {
        var all: [String] = []
        for try await key in keys { all.append(key) }
        return all
    }

    // MARK: Reading and writing

    private func roundTrip(_ store: any Store) async throws {
        try require(try await store.record("a") == nil, "a record that nobody wrote")
        let write = StoreBatch.Write(
            key: "a", value: [0, 1, 255], contentType: "application/x-test",
            metadata: ["tenant": "acme"])
        let commit = try await store.commit(StoreBatch(operations: [.write(write)]))
        let wanted = StoreRecord(
            key: "a", value: [0, 1, 255], contentType: "application/x-test",
            metadata: ["tenant": "acme"], version: commit.revision)
        try expect(wanted, try await store.record("a"), "record")
        try await store.commit(StoreBatch(operations: [.write(.init(key: "a", value: []))]))
        try expect([], try await store.record("a")?.value, "an empty value")
        try expect([:], try await store.record("a")?.metadata, "metadata that was replaced")
        for key in ["ключ", "a b", "a/b", "/", "🔑", "%_"] {
            try await store.write(key, at: key)
            try expect(key, try await store.read(key), "value at \(key)")
        }
    }

    private func typedValues(_ store: any Store) async throws {
        let ada = User(name: "Ada")
        let version = try await store.write(ada, at: "42", metadata: ["by": "test"])
        let read: User? = try await store.read("42")
        try expect(ada, read, "value")
        let stored = try await store.record("42", as: User.self)
        try expect("42", stored?.key, "key")
        try expect(ada, stored?.value, "value")
        try expect(version, stored?.version, "version")
        try expect("test", stored?.metadata["by"], "metadata")
        try expect(nil, stored?.timeToLive, "time to live")
        try require(try await store.read("43", as: User.self) == nil, "a value that nobody wrote")
        try require(try await store.exists("42"), "42 does not exist")
        try require(try await !store.exists("43"), "43 exists")
        try await store.write([1, 2] as [UInt8], at: "bytes")
        try expect([1, 2], try await store.record("bytes")?.value, "bytes are kept as they are")
    }

    private func undecodable(_ store: any Store) async throws {
        try await store.write("text", at: "42")
        try await expectError(.dataLoss, "reading a string as a user") {
            _ = try await store.read("42", as: User.self)
        }
    }

    private func versions(_ store: any Store) async throws {
        var last: UInt64 = 0
        for key in ["a", "b", "a"] {
            let version = try await store.write(key, at: key)
            try require(version > last, "version \(version) after \(last)")
            try expect(version, try await store.record(key)?.version, "version of \(key)")
            last = version
        }
        try await store.delete("a")
        let reborn = try await store.write("a", at: "a")
        try require(reborn > last, "version \(reborn) after a deletion, and \(last) before")
    }

    private func conditions(_ store: any Store) async throws {
        let first = try await store.write("1", at: "a", if: .absent)
        let second = try await store.write("2", at: "a", if: .version(first))
        let refused: [WriteCondition] = [.absent, .version(first), .version(second + 100)]
        for condition in refused {
            for isWrite in [true, false] {
                let error = try await expectError(
                    .conflict, reason: "VERSION_CONFLICT", "\(condition)"
                ) {
                    if isWrite {
                        try await store.write("no", at: "a", if: condition)
                    } else {
                        try await store.delete("a", if: condition)
                    }
                }
                try expect(String(second), error.metadata["version"], "version in the error")
                try expect("a", error.metadata["key"], "key in the error")
            }
        }
        try expect("2", try await store.read("a"), "value after refused writes")
        try expect(second, try await store.record("a")?.version, "version")
        let error = try await expectError(.conflict, "a version of nothing") {
            try await store.write("no", at: "b", if: .version(second))
        }
        try expect("0", error.metadata["version"], "version in the error")
        try require(try await store.delete("a", if: .version(second)), "nothing was deleted")
        try await store.write("3", at: "a", if: .absent)
    }

    private func counter(_ store: any Store) async throws {
        let tasks = 8
        let rounds = 10
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<tasks {
                group.addTask {
                    for _ in 0..<rounds { try await increment("n", store) }
                }
            }
            try await group.waitForAll()
        }
        try expect(tasks * rounds, try await store.read("n"), "counter")
    }

    private func increment(_ key: String, _ store: any Store) async throws {
        while true {
            let found = try await store.record(key, as: Int.self)
            // Somebody else may write between the two.
            try await store.environment.clock.sleep(
                for: .milliseconds(Int64(store.environment.random() % 3)))
            do {
                try await store.write(
                    (found?.value ?? 0) + 1, at: key,
                    if: found.map { .version($0.version) } ?? .absent)
                return
            } catch let error as MicroError where error.reason == "VERSION_CONFLICT" {
                continue
            }
        }
    }

    private func deleting(_ store: any Store) async throws {
        try require(try await !store.delete("a"), "deleted what nobody wrote")
        try await store.write("1", at: "a")
        try require(try await store.delete("a"), "deleted nothing")
        try require(try await store.record("a") == nil, "the record is still there")
        try require(try await !store.delete("a"), "deleted it twice")
        try expect([], try await collect(store.keys()), "keys")
    }

    private func expiry(_ store: any Store) async throws {
        let clock = store.environment.clock
        let written = clock.now
        // Not before that, on a machine where everything takes its time.
        func isInItsTime() -> Bool { written.duration(to: clock.now) < shortTTL }
        try await store.write("1", at: "a", ttl: shortTTL)
        let left = try await store.record("a")?.timeToLive
        try require(left != nil || !isInItsTime(), "it is gone at once")
        if let left {
            try require(left > .zero && left <= shortTTL, "\(left) are left of \(shortTTL)")
        }
        try await clock.sleep(for: shortTTL / 2)
        let later = try await store.record("a")
        try require(later != nil || !isInItsTime(), "it is gone in its time")
        if let left, let later = later?.timeToLive {
            try require(later < left, "\(later) are left after \(left)")
        }
        try await clock.sleep(for: shortTTL)
        try require(try await store.record("a") == nil, "it is there after its time")
        try require(try await !store.delete("a"), "it could be deleted after its time")
        try expect([], try await collect(store.keys()), "keys")
        try await store.write("2", at: "a", if: .absent)
    }

    private func renewedTTL(_ store: any Store) async throws {
        let clock = store.environment.clock
        try await store.write("1", at: "longer", ttl: shortTTL)
        try await store.write("1", at: "forever", ttl: shortTTL)
        try await store.write("2", at: "longer", ttl: shortTTL * 10)
        try await store.write("2", at: "forever")
        try await clock.sleep(for: shortTTL * 2)
        try expect("2", try await store.read("longer"), "with a longer time")
        try expect("2", try await store.read("forever"), "with no end")
    }

    private func refusals(_ store: any Store) async throws {
        for ttl in [Duration.zero, .seconds(-1)] {
            try await expectError(.invalidArgument, "a time to live of \(ttl)") {
                try await store.write("1", at: "a", ttl: ttl)
            }
        }
        for key in ["", "a\u{0}b", String(repeating: "k", count: 1 << 20)] {
            try await expectError(.invalidArgument, "a key of \(key.utf8.count) bytes") {
                try await store.write("1", at: key)
            }
            try await expectError(.invalidArgument, "reading a key of \(key.utf8.count) bytes") {
                _ = try await store.record(key)
            }
        }
        for limit in [0, -1, StoreQuery.limitMax + 1] {
            try await expectError(.invalidArgument, "a limit of \(limit)") {
                _ = try await store.list(StoreQuery(limit: limit))
            }
        }
        try await expectError(.invalidArgument, "one key twice in a batch") {
            try await store.commit(
                StoreBatch(operations: [
                    .write(.init(key: "a", value: [])), .delete(.init(key: "a")),
                ]))
        }
        try expect([], try await collect(store.keys()), "keys")
    }

    private func largeValue(_ store: any Store) async throws {
        let value = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try await store.write(value, at: "a")
        try require(try await store.record("a")?.value == value, "1 MiB came back changed")
    }

    // MARK: Lists

    private func listing(_ store: any Store) async throws {
        for key in ["b2", "a1", "b1x", "b3", "b1", "c1", "b2x"].shuffled(by: store) {
            try await store.write(key, at: key)
        }
        let pages: [(StoreQuery, [String], String?)] = [
            (StoreQuery(), ["a1", "b1", "b1x", "b2", "b2x", "b3", "c1"], nil),
            (StoreQuery(limit: 7), ["a1", "b1", "b1x", "b2", "b2x", "b3", "c1"], nil),
            (StoreQuery(prefix: "b", limit: 2), ["b1", "b1x"], "b1x"),
            (StoreQuery(prefix: "b", after: "b1x", limit: 2), ["b2", "b2x"], "b2x"),
            (StoreQuery(prefix: "b", after: "b2x", limit: 2), ["b3"], nil),
            (StoreQuery(prefix: "b", after: "b0"), ["b1", "b1x", "b2", "b2x", "b3"], nil),
            (StoreQuery(prefix: "b", after: "a"), ["b1", "b1x", "b2", "b2x", "b3"], nil),
            (StoreQuery(prefix: "b", after: "c"), [], nil),
            (StoreQuery(suffix: "x", limit: 1), ["b1x"], "b1x"),
            (StoreQuery(suffix: "x", after: "b1x", limit: 1), ["b2x"], nil),
            (StoreQuery(prefix: "b", suffix: "1"), ["b1"], nil),
            (StoreQuery(prefix: "d"), [], nil),
        ]
        for (query, keys, next) in pages {
            let page = try await store.list(query)
            try expect(keys, page.keys, "keys of \(query)")
            try expect(next, page.next, "next of \(query)")
        }
    }

    private func bytewise(_ store: any Store) async throws {
        // Two spellings of one letter, which Swift takes for equal; %, _ and * mean themselves.
        let keys = [
            "e\u{301}", "\u{e9}", "Z", "a", "a%", "ab", "a_c", "\u{ffff}", "\u{10000}", "a*",
        ]
        for (number, key) in keys.enumerated() { try await store.write(number, at: key) }
        for (number, key) in keys.enumerated() {
            try expect(number, try await store.read(key), "value of key \(number)")
        }
        let sorted = keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        let found = try await collect(store.keys())
        try expect(sorted.map { Array($0.utf8) }, found.map { Array($0.utf8) }, "order of keys")
        try expect(["a%"], try await collect(store.keys(prefix: "a%")), "prefix a%")
        try expect(["a_c"], try await collect(store.keys(prefix: "a_")), "prefix a_")
        try expect(["a*"], try await collect(store.keys(suffix: "*")), "suffix *")
        let accent = try await collect(store.keys(suffix: "\u{301}"))
        try expect([Array("e\u{301}".utf8)], accent.map { Array($0.utf8) }, "suffix of bytes")
    }

    private func expiredListing(_ store: any Store) async throws {
        for number in 0..<10 {
            try await store.write(number, at: "k\(number)", ttl: number % 2 == 0 ? shortTTL : nil)
        }
        try await store.environment.clock.sleep(for: shortTTL * 2)
        let page = try await store.list(StoreQuery(limit: 3))
        try expect(["k1", "k3", "k5"], page.keys, "keys")
        try expect("k5", page.next, "next")
    }

    private func manyKeys(_ store: any Store) async throws {
        let keys = (0..<1500).map { number in
            let digits = String(number)
            return String(repeating: "0", count: 4 - digits.count) + digits
        }
        for key in keys.shuffled(by: store) { try await store.write(key, at: key) }
        try expect(keys, try await collect(store.keys()), "all keys")
        try expect(Array(keys[..<700]), try await collect(store.keys(limit: 700)), "700 keys")
        try expect([], try await collect(store.keys(limit: 0)), "no keys")
        try expect(
            ["0157", "0167", "0177", "0187", "0197"],
            try await collect(store.keys(prefix: "01", suffix: "7", after: "0150")), "some keys")
        for key in keys where key != "0700" { try await store.delete(key) }
        try expect(["0700"], try await collect(store.keys()), "keys left")
    }

    private func tables(_ store: any Store) async throws {
        let a = store.table("a")
        let ab = store.table("ab")
        try await a.write("1", at: "k")
        try await ab.write("2", at: "k")
        try await a.table("inner").write("3", at: "k")
        try await store.write("4", at: "k")
        try expect("1", try await a.read("k"), "in a")
        try expect("2", try await ab.read("k"), "in ab")
        try expect("4", try await store.read("k"), "in the store")
        try expect("k", try await a.record("k")?.key, "key of the record")
        try expect(["inner/k", "k"], try await collect(a.keys()), "keys of a")
        try expect(["k"], try await collect(a.keys(prefix: "k")), "keys of a with k")
        try expect(["k"], try await collect(a.keys(after: "inner/k")), "keys of a after inner")
        try expect(["k"], try await collect(ab.keys()), "keys of ab")
        try expect(["k"], try await collect(a.table("inner").keys()), "keys of a/inner")
        try expect("1", try await store.read("a/k"), "by its whole key")
        try expect("inner/k", try await a.list(StoreQuery(limit: 1)).next, "next of a page")
        try require(try await a.delete("k"), "nothing was deleted")
        try expect("2", try await ab.read("k"), "in ab, after the deletion in a")
        for name in ["", "/", "a/", "/a", "a//b"] {
            try await expectError(.invalidArgument, "table \"\(name)\"") {
                try await store.table(name).write("1", at: "k")
            }
        }
        try await expectError(.invalidArgument, "an empty key in a table") {
            try await a.write("1", at: "")
        }
    }

    // MARK: Together

    private func batches(_ store: any Store) async throws {
        let first = try await store.write("1", at: "a")
        let good: [StoreBatch.Operation] = [
            .write(.init(key: "b", value: [1])), .delete(.init(key: "a")),
            .write(.init(key: "c", value: [2], condition: .absent)),
        ]
        let refused: [(StoreBatch, String)] = [
            (
                StoreBatch(checks: [.init(key: "a", condition: .absent)], operations: good),
                "READ_CONFLICT"
            ),
            (
                StoreBatch(
                    operations: good + [
                        .write(.init(key: "d", value: [], condition: .version(first)))
                    ]), "VERSION_CONFLICT"
            ),
        ]
        for (batch, reason) in refused {
            try await expectError(.conflict, reason: reason, "a batch") {
                try await store.commit(batch)
            }
            try expect(["a"], try await collect(store.keys()), "keys after \(reason)")
        }
        let commit = try await store.commit(
            StoreBatch(checks: [.init(key: "a", condition: .version(first))], operations: good))
        try expect(1, commit.deleted, "deleted")
        try require(commit.revision > first, "revision \(commit.revision) after \(first)")
        try expect(["b", "c"], try await collect(store.keys()), "keys")
        for key in ["b", "c"] {
            try expect(commit.revision, try await store.record(key)?.version, "version of \(key)")
        }
        let nothing = try await store.commit(StoreBatch(operations: [.delete(.init(key: "x"))]))
        try expect(StoreCommit(revision: commit.revision, deleted: 0), nothing, "of nothing")
    }

    private func transactions(_ store: any Store) async throws {
        try await store.write(1, at: "a")
        let runs = Counter()
        let result = try await store.transaction { tx in
            let run = await runs.next()
            let a: Int = try await tx.read("a") ?? 0
            let b: Int? = try await tx.table("t").read("b")
            // Somebody else is faster, once: with what is read, and with what is missing.
            if run == 1 { try await store.write(10, at: "a") }
            if run == 2 { try await store.table("t").write(5, at: "b") }
            try await tx.write(a + 1, at: "a")
            try await tx.table("t").write((b ?? 0) + 1, at: "b")
            return a
        }
        try expect(10, result, "result")
        try expect(3, await runs.value, "runs")
        try expect(11, try await store.read("a"), "a")
        try expect(6, try await store.read("t/b"), "t/b")
        try expect(
            try await store.record("t/b")?.version, try await store.record("a")?.version, "version")
        let error = try await expectError(.aborted, "a transaction without a chance") {
            try await store.transaction(attempts: 3) { tx in
                let a: Int? = try await tx.read("a")
                try await store.write((a ?? 0) + 1, at: "a")
                try await tx.write(0, at: "a")
            }
        }
        try expect("TRANSACTION_CONFLICT", error.reason, "reason")
        try expect(14, try await store.read("a"), "a after three attempts")
        try await expectError(.conflict, reason: "VERSION_CONFLICT", "a condition that fails") {
            try await store.transaction { tx in
                try await tx.write(1, at: "new")
                try await tx.write(1, at: "a", if: .absent)
            }
        }
        try require(try await !store.exists("new"), "a part of a transaction was written")
    }

    private actor Counter {
        var value = 0
        func next() -> Int {
            value += 1
            return value
        }
    }

    private func ownWrites(_ store: any Store) async throws {
        try await store.write("old", at: "a")
        try await store.transaction { tx in
            try await tx.write("new", at: "a")
            try await tx.delete("b")
            try expect("new", try await tx.read("a"), "its own write")
            try expect(0, try await tx.record("a", as: String.self)?.version, "its version")
            try expect("old", try await store.read("a"), "seen from outside")
            try await tx.delete("a")
            try require(try await tx.read("a", as: String.self) == nil, "its own deletion")
            try await tx.write("newest", at: "a")
        }
        try expect("newest", try await store.read("a"), "afterwards")
        let escaped = try await store.transaction { $0 }
        try await expectError(.failedPrecondition, "a transaction that is over") {
            try await escaped.write("1", at: "a")
        }
    }

    private func failedTransaction(_ store: any Store) async throws {
        try await expectError(.notFound, "the error of the body") {
            try await store.transaction { tx in
                try await tx.write("1", at: "a")
                throw MicroError.notFound("test", "no")
            }
        }
        try expect([], try await collect(store.keys()), "keys")
    }

    private func transfers(_ store: any Store) async throws {
        let accounts = ["a", "b", "c"]
        for account in accounts { try await store.write(100, at: account) }
        let environment = store.environment
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<12 {
                group.addTask {
                    let from = accounts[number % 3]
                    let to = accounts[(number + 1) % 3]
                    try await store.transaction(attempts: 100) { tx in
                        let source: Int = try await tx.read(from) ?? 0
                        try await environment.clock.sleep(
                            for: .milliseconds(Int64(environment.random() % 4)))
                        let target: Int = try await tx.read(to) ?? 0
                        try await tx.write(source - 10, at: from)
                        try await tx.write(target + 10, at: to)
                    }
                }
            }
            try await group.waitForAll()
        }
        var sums: [Int] = []
        for account in accounts { sums.append(try await store.read(account) ?? 0) }
        try expect([100, 100, 100], sums, "accounts")
    }

    private func fencing(_ store: any Store) async throws {
        try await store.write("5", at: "a", fencedBy: 5)
        try await store.write("5 again", at: "a", fencedBy: 5)
        try await store.write("7", at: "a", fencedBy: 7)
        let stale: [(String, () async throws -> Void)] = [
            ("write", { try await store.write("6", at: "a", fencedBy: 6) }),
            ("delete", { try await store.delete("a", fencedBy: 6) }),
            (
                "transaction",
                { try await store.transaction { try await $0.write("6", at: "a", fencedBy: 6) } }
            ),
        ]
        for (name, body) in stale {
            let error = try await expectError(
                .failedPrecondition, reason: "STALE_FENCE", "\(name) with an old token", body)
            try expect("7", error.metadata["fence"], "token in the error of \(name)")
        }
        try expect("7", try await store.read("a"), "value")
        try await store.write("6", at: "b", fencedBy: 6)
        try await store.delete("a", fencedBy: 8)
        try await expectError(
            .failedPrecondition, reason: "STALE_FENCE", "an old token after the deletion"
        ) { try await store.write("7", at: "a", fencedBy: 7) }
        try await store.write("8", at: "a", fencedBy: 8)
        // A write that fails has not shown its token.
        try await expectError(.conflict, "a condition") {
            try await store.write("9", at: "a", if: .absent, fencedBy: 9)
        }
        try await store.write("8", at: "a", fencedBy: 8)
    }

    // MARK: Watching

    private func watching(_ store: any Store) async throws {
        try await store.write("before", at: "a")
        let changes = try await store.changes()
        let written = try await store.write("1", at: "a")
        try await store.delete("a")
        try await store.delete("a")
        let both = try await store.commit(
            StoreBatch(operations: [
                .write(.init(key: "b", value: [1])), .write(.init(key: "c", value: [2])),
            ]))
        let first = try await next(changes, store)
        try expect("a", first.key, "key")
        try expect(written, first.revision, "revision")
        guard case .written(let record) = first.kind else {
            return try require(false, "\(first) is not a write")
        }
        try expect(written, record.version, "version")
        try expect(
            try store.codecs.preferred(for: String.self)?.encode("1") ?? [], record.value, "value")
        let second = try await next(changes, store)
        try expect(.deleted, second.kind, "second change")
        try require(second.revision > written, "revision \(second.revision) after \(written)")
        for key in ["b", "c"] {
            let change = try await next(changes, store)
            try expect(key, change.key, "key")
            try expect(both.revision, change.revision, "revision of \(key)")
        }
        // One that has to be waited for.
        let environment = store.environment
        let writer = environment.spawn {
            try? await environment.clock.sleep(for: .milliseconds(100))
            _ = try? await store.write("late", at: "d")
        }
        try expect("d", try await next(changes, store).key, "key of a late change")
        await writer.wait()
        let users = try await store.changes(prefix: "u", as: User.self)
        try await store.write(User(name: "Ada"), at: "u1")
        let typed = try await within(patience, environment) {
            var iterator = users.makeAsyncIterator()
            return try await iterator.next()
        }
        try expect(User(name: "Ada"), typed??.value, "typed value")
        try expect("u1", typed??.key, "typed key")
    }

    private func resumedWatch(_ store: any Store) async throws {
        try await store.write("1", at: "a")
        let second = try await store.write("2", at: "a")
        let third = try await store.write("3", at: "b")
        let changes = try await store.changes(prefix: "", from: second)
        var revisions = [try await next(changes, store).revision]
        revisions.append(try await next(changes, store).revision)
        let fourth = try await store.write("4", at: "c")
        revisions.append(try await next(changes, store).revision)
        try expect([second, third, fourth], revisions, "revisions")
    }

    private func watchFilter(_ store: any Store) async throws {
        let all = try await store.changes(prefix: "a", from: nil)
        let table = try await store.table("a").changes(prefix: "k", from: nil)
        for key in ["b", "a/x", "ab/k1", "a/k1", "a"] { try await store.write(key, at: key) }
        for key in ["a/x", "ab/k1", "a/k1", "a"] {
            try expect(key, try await next(all, store).key, "key")
        }
        let change = try await next(table, store)
        try expect("k1", change.key, "key in the table")
        guard case .written(let record) = change.kind else {
            return try require(false, "\(change) is not a write")
        }
        try expect("k1", record.key, "key of the record in the table")
        try await store.table("a").delete("k1")
        try expect(.deleted, try await next(table, store).kind, "next change in the table")
    }

    private func watchedExpiry(_ store: any Store) async throws {
        let clock = store.environment.clock
        let changes = try await store.changes()
        let before = clock.now
        let version = try await store.write("1", at: "a", ttl: shortTTL)
        guard case .written(let record) = try await next(changes, store).kind else {
            return try require(false, "the first change is not a write")
        }
        try expect(shortTTL, record.timeToLive, "time to live in the change")
        let change = try await next(changes, store)
        let waited = before.duration(to: clock.now)
        try expect(.expired, change.kind, "change")
        try expect("a", change.key, "key")
        try require(change.revision > version, "revision \(change.revision) after \(version)")
        try require(waited >= shortTTL, "it expired after \(waited), expected \(shortTTL)")
    }

    private func cancelledWatch(_ store: any Store) async throws {
        let changes = try await store.changes()
        let none = try await within(.milliseconds(100), store.environment) {
            try? await changes.next()
        }
        try require(none == nil, "a change that nobody made")
        try await store.write("1", at: "a")
        try expect("a", try await next(changes, store).key, "key")
    }

    private func closing(_ store: any Store) async throws {
        try await store.write("1", at: "a")
        let changes = try await store.changes()
        async let end = changes.next()
        let later = try await store.changes()
        await store.close()
        try require(try await end == nil, "a waiting watch goes on")
        try require(try await later.next() == nil, "a watch goes on")
        let calls: [(String, () async throws -> Void)] = [
            ("reading", { _ = try await store.record("a") }),
            ("writing", { try await store.write("1", at: "a") }),
            ("listing", { _ = try await store.list(StoreQuery()) }),
            ("watching", { _ = try await store.changes() }),
        ]
        for (name, call) in calls { try await expectError(.unavailable, name, call) }
        await store.close()
    }
}

extension Array {
    /// In an order that the store's environment chooses.
    func shuffled(by store: any Store) -> [Element] {
        var randomness = store.environment.randomness
        return shuffled(using: &randomness)
    }
}
