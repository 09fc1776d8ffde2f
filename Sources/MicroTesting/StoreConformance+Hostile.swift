internal import Micro

// The checks of what a careless or hostile caller does: what would be special to a database is a
// key, a name or a value like any other.
extension StoreConformance {
    private static let hostileTexts = [
        "%", "_", "%%", "a%b", "a_b", "*", "?", "[a-z]", "'", "''", "\"", "`", ";", "--", "/*",
        "*/",
        "\\", "\\\\", "\\0", "\\x00", "a\\", "..", "../../etc/passwd", "./a", "/", "//", "a//b",
        "a/",
        "/a", " ", " a ", "\t", "\n", "\r\n", "\u{1}", "\u{7f}", "\u{85}", "\u{202e}", "\u{feff}",
        "\u{fffd}", "\u{ffff}", "\u{10ffff}", "x\"; DROP TABLE records; --",
        "'; DELETE FROM records WHERE ''='", "$1", "?1", ":a", "@a", "{a}", "${a}", "NULL", "0",
        "-1",
        "1e9", "true", "👨‍👩‍👧", "e\u{301}", "\u{e9}",
    ]

    func hostileKeys(_ store: any Store) async throws {
        let changes = try await store.changes()
        for text in Self.hostileTexts {
            let write = StoreBatch.Write(
                key: text, value: Array(text.utf8), contentType: "text/\(text)",
                metadata: ["kind": "hostile"])
            let commit = try await store.commit(StoreBatch(operations: [.write(write)]))
            try expect(
                StoreRecord(
                    key: text, value: write.value, contentType: write.contentType,
                    metadata: write.metadata, version: commit.revision),
                try await store.record(text), "record at \(text.debugDescription)")
        }
        let sorted = Self.hostileTexts.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        try expect(
            sorted.map { Array($0.utf8) }, try await collect(store.keys()).map { Array($0.utf8) },
            "keys")
        for text in Self.hostileTexts {
            try expect(
                Array(text.utf8), Array(try await next(changes, store).key.utf8), "changed key")
            let wanted = sorted.filter { $0.utf8.starts(with: text.utf8) }.map { Array($0.utf8) }
            let found = try await collect(store.keys(prefix: text)).map { Array($0.utf8) }
            try expect(wanted, found, "keys that begin with \(text.debugDescription)")
        }
        try await largestKeys(store)
        for text in Self.hostileTexts {
            try require(
                try await store.delete(text), "\(text.debugDescription) could not be deleted")
        }
        try expect([], try await collect(store.keys()), "keys")
    }

    /// A store may have a bound for keys, but cuts none.
    private func largestKeys(_ store: any Store) async throws {
        for count in [255, 256, 1_023, 1_024, 1_025, 8_192, 65_535, 65_536, 65_537] {
            let key = "k" + String(repeating: "é", count: count / 2)
            do {
                try await store.write(count, at: key)
                try expect(count, try await store.read(key), "value at a key of \(count) bytes")
                try expect([key], try await collect(store.keys(prefix: "kéé")), "keys")
                try require(try await store.delete(key), "a key of \(count) bytes is not there")
            } catch let error as MicroError {
                try require(
                    count > 1_000 && error.code == .invalidArgument,
                    "a key of \(count) bytes is refused with \(error)")
            }
        }
    }

    func hostileTables(_ store: any Store) async throws {
        let names = Self.hostileTexts.filter { text in
            !text.split(separator: "/", omittingEmptySubsequences: false).contains("")
        }
        for name in names { try await store.table(name).write(name, at: "k") }
        for name in names {
            try expect(
                name, try await store.table(name).read("k"),
                "value in table \(name.debugDescription)")
        }
        try expect(names.count, try await collect(store.keys(suffix: "/k")).count, "keys")
        try await store.table("a").table("b").write("1", at: "..")
        try expect("1", try await store.table("a/b").read(".."), "value at .. in a table")
        try expect(nil, try await store.record("a"), "a record above a table")
    }

    func edges(_ store: any Store) async throws {
        let last = "\u{10ffff}"
        let keys = [
            "a", "a\(last)", "a\(last)\(last)", "a\(last)b", "ab", "aba", "b", last, last + "a",
        ]
        for key in keys.shuffled(by: store) { try await store.write(key, at: key) }
        let filters: [(prefix: String, suffix: String, keys: [String])] = [
            ("a", "", ["a", "ab", "aba", "a\(last)", "a\(last)b", "a\(last)\(last)"]),
            ("a\(last)", "", ["a\(last)", "a\(last)b", "a\(last)\(last)"]),
            (last, "", [last, last + "a"]), ("", last, ["a\(last)", "a\(last)\(last)", last]),
            ("ab", "ba", ["aba"]), ("aba", "aba", ["aba"]), ("aba", "a", ["aba"]),
            ("", "xaba", []), ("abax", "", []), ("", "b", ["ab", "a\(last)b", "b"]),
        ]
        for (prefix, suffix, wanted) in filters {
            let what = "\(prefix.debugDescription)…\(suffix.debugDescription)"
            try expect(
                wanted, try await collect(store.keys(prefix: prefix, suffix: suffix)), what)
            var paged: [String] = []
            var query = StoreQuery(prefix: prefix, suffix: suffix, limit: 1)
            repeat {
                let page = try await store.list(query)
                paged += page.keys
                query.after = page.next
            } while query.after != nil
            try expect(wanted, paged, "\(what), key by key")
        }
    }

    func listingWhileWriting(_ store: any Store) async throws {
        let kept = (100..<400).map { "k\($0)" }
        for key in kept { try await store.write(key, at: key) }
        let environment = store.environment
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while !Task.isCancelled {
                    let key = "k\(100 + environment.random() % 300)+"
                    try await store.write(key, at: key)
                    try await store.delete(key)
                    try await environment.clock.sleep(for: .milliseconds(1))
                }
            }
            defer { group.cancelAll() }
            for _ in 0..<5 {
                var query = StoreQuery(prefix: "k", limit: 7)
                var found: [String] = []
                repeat {
                    let page = try await store.list(query)
                    found += page.keys
                    query.after = page.next
                    try await environment.clock.sleep(for: .milliseconds(1))
                } while query.after != nil
                try expect(kept, found.filter { !$0.hasSuffix("+") }, "keys that were always there")
                try expect(found, Array(Set(found)).sorted(), "each key once, in order")
            }
        }
    }

    func largeBatch(_ store: any Store) async throws {
        let changes = try await store.changes()
        let keys = (1_000..<2_000).map(String.init)
        let commit = try await store.commit(
            StoreBatch(operations: keys.map { .write(.init(key: $0, value: Array($0.utf8))) }))
        for key in keys {
            let change = try await next(changes, store)
            try expect(key, change.key, "key")
            try expect(commit.revision, change.revision, "revision of \(key)")
        }
        try expect(keys, try await collect(store.keys()), "keys")
        let half = keys.enumerated().map { index, key -> StoreBatch.Operation in
            index % 2 == 0
                ? .delete(.init(key: key, condition: .version(commit.revision)))
                : .write(.init(key: key, value: [], condition: .version(commit.revision)))
        }
        var refused = half
        refused[999] = .write(.init(key: keys[999], value: [], condition: .absent))
        try await expectError(.conflict, "a batch whose last condition fails") {
            try await store.commit(StoreBatch(operations: refused))
        }
        try expect(keys, try await collect(store.keys()), "keys after a batch that was refused")
        let second = try await store.commit(StoreBatch(operations: half))
        try expect(500, second.deleted, "deleted")
        try expect(500, try await collect(store.keys()).count, "keys")
    }

    func fenceBounds(_ store: any Store) async throws {
        let largest = UInt64(Int64.max)
        for fence in [0, largest + 1, .max] {
            try await expectError(.invalidArgument, "a token of \(fence)") {
                try await store.write("1", at: "a", fencedBy: fence)
            }
            try await expectError(.invalidArgument, "deleting with a token of \(fence)") {
                try await store.delete("a", fencedBy: fence)
            }
        }
        try await store.write("1", at: "a", fencedBy: 1)
        try await store.write("2", at: "a", fencedBy: largest)
        let error = try await expectError(
            .failedPrecondition, reason: "STALE_FENCE", "one less than the largest token"
        ) { try await store.write("3", at: "a", fencedBy: largest - 1) }
        try expect(String(largest), error.metadata["fence"], "token in the error")
        try await store.delete("a", fencedBy: largest)
    }
}

// MARK: - Many

extension StoreConformance {
    func slowWatch(_ store: any Store) async throws {
        let changes = try await store.changes(prefix: "k", from: nil)
        let value = [UInt8](repeating: 7, count: 10_000)
        for round in 0..<2 {
            var revisions: [UInt64] = []
            for number in 0..<300 {
                revisions.append(try await store.write(value, at: "k\(number % 7)"))
                if number % 10 == 0 { try await store.write(number, at: "other") }
            }
            for revision in revisions {
                try expect(
                    revision, try await next(changes, store).revision, "revision in round \(round)")
            }
        }
    }

    func manyWatches(_ store: any Store) async throws {
        let count = 100
        var watches: [StoreChanges] = []
        for number in 0..<count {
            watches.append(try await store.changes(prefix: "\(number % 10)/", from: nil))
        }
        let all = watches
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<count {
                group.addTask {
                    for step in 0..<5 {
                        let change = try await next(all[number], store)
                        try expect("\(number % 10)/\(step)", change.key, "key of watch \(number)")
                    }
                }
            }
            group.addTask {
                for step in 0..<5 {
                    for prefix in 0..<10 { try await store.write(step, at: "\(prefix)/\(step)") }
                }
            }
            try await group.waitForAll()
        }
    }

    func randomOperations(_ store: any Store) async throws {
        var dice = store.environment.randomness
        var model: [String: (value: Int, version: UInt64)] = [:]
        var last: UInt64 = 0
        for step in 0..<500 {
            let key =
                "\("abc".randomElement(using: &dice) ?? "a")/\(Int.random(in: 0..<20, using: &dice))"
            let found = model[key]
            let condition =
                [
                    .any, .any, .absent, .version(found?.version ?? 1),
                    .version(UInt64.random(in: 0...(last + 1), using: &dice)),
                ].randomElement(using: &dice) ?? WriteCondition.any
            let holds = condition.holds(for: found?.version)
            do {
                switch Int.random(in: 0..<4, using: &dice) {
                case 0, 1:
                    last = try await store.write(step, at: key, if: condition)
                    model[key] = (step, last)
                case 2:
                    let existed = try await store.delete(key, if: condition)
                    try expect(found != nil, existed, "whether \(key) was there")
                    model[key] = nil
                default:
                    try expect(found?.value, try await store.read(key), "value at \(key)")
                    continue
                }
                try require(holds, "\(condition) holds for \(String(describing: found))")
            } catch let error as MicroError {
                try require(
                    !holds && error.reason == "VERSION_CONFLICT", "step \(step) throws \(error)")
            }
        }
        let keys = model.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        try expect(keys, try await collect(store.keys()), "keys")
    }
}
