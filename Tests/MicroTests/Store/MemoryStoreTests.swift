import Micro
import MicroTesting
import Synchronization
import Testing

@Suite struct MemoryStoreTests {
    @Test(arguments: StoreConformance.checks, [1, 2, 3] as [UInt64])
    func conforms(check: String, seed: UInt64) async throws {
        try await withSimulation(seed: seed) {
            try await StoreConformance { MemoryStore() }.run([check])
        }
    }

    /// The checks that are about tasks on several threads.
    @Test func conformsOnThreads() async throws {
        let checks = StoreConformance.checks.filter {
            $0.contains("concurrent") || $0.contains("transfers") || $0.contains("transaction")
                || $0.contains("watch sees every")
        }
        #expect(checks.count >= 5)
        try await StoreConformance { MemoryStore() }.run(checks)
    }

    private func store(_ limits: StoreLimits) -> MemoryStore { MemoryStore(limits: limits) }

    @Test func limitsAreKept() async throws {
        try await withSimulation(seed: 1) {
            let store = store(StoreLimits(entries: 2, bytes: 100, keyBytes: 4, valueBytes: 60))
            try await store.write("1", at: "a")
            try await store.write("1", at: "b")
            let full = await expectError(.resourceExhausted, reason: "STORE_FULL") {
                try await store.write("1", at: "c")
            }
            #expect(full?.detail.contains("entries is 2") == true)
            try await store.write("2", at: "a")
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
            // Nothing of a refused batch is kept, and what is there can still shrink.
            #expect(try await store.read("c") == "1")
            try await store.write([0] as [UInt8], at: "a")
            try await store.write(large, at: "c")
        }
    }

    @Test func expiredRecordsMakeRoom() async throws {
        try await withSimulation(seed: 1) {
            let store = store(StoreLimits(entries: 1_000))
            for round in 0..<3 {
                for number in 0..<1_000 {
                    try await store.write(round, at: "\(number)", ttl: .seconds(1))
                }
                await expectError(.resourceExhausted) { try await store.write(0, at: "more") }
                try await store.environment.clock.sleep(for: .seconds(2))
            }
            try await store.write(0, at: "more")
        }
    }

    @Test func tokensHaveABound() async throws {
        try await withSimulation(seed: 1) {
            let store = store(StoreLimits(entries: 2))
            for key in ["a", "b"] {
                try await store.write("1", at: key, fencedBy: 1)
                try await store.delete(key)
            }
            await expectError(.resourceExhausted) {
                try await store.write("1", at: "c", fencedBy: 1)
            }
            try await store.write("1", at: "c")
            try await store.write("1", at: "a", fencedBy: 2)
        }
    }

    @Test func aBatchHasABound() async throws {
        try await withSimulation(seed: 1) {
            let store = store(StoreLimits(batch: 3))
            func batch(_ count: Int) -> StoreBatch {
                StoreBatch(operations: (0..<count).map { .write(.init(key: "\($0)", value: [])) })
            }
            try await store.commit(batch(3))
            await expectError(.invalidArgument) { try await store.commit(batch(4)) }
        }
    }

    @Test func watchersThatFallBehindAreTold() async throws {
        try await withSimulation(seed: 1) {
            let store = store(StoreLimits(changes: 3))
            let slow = try await store.changes()
            for number in 1...3 { try await store.write(number, at: "a") }
            #expect(try await slow.next()?.revision == 1)
            for number in 4...6 { try await store.write(number, at: "a") }
            let error = await expectError(.outOfRange, reason: "CHANGES_COMPACTED") {
                _ = try await slow.next()
            }
            #expect(error?.metadata["revision"] == "4")
            await expectError(.outOfRange, reason: "CHANGES_COMPACTED") {
                _ = try await store.changes(prefix: "", from: 3)
            }
            let remembered = try await store.changes(prefix: "", from: 4)
            for revision in 4...6 as ClosedRange<UInt64> {
                #expect(try await remembered.next()?.revision == revision)
            }
        }
    }

    @Test func rememberedChangesAreBoundedInBytes() async throws {
        try await withSimulation(seed: 1) {
            let store = store(StoreLimits(changeBytes: 1_000))
            for _ in 0..<20 { try await store.write([UInt8](repeating: 0, count: 400), at: "a") }
            await expectError(.outOfRange) { _ = try await store.changes(prefix: "", from: 18) }
            let changes = try await store.changes(prefix: "", from: 19)
            #expect(try await changes.next()?.revision == 19)
        }
    }

    @Test func aStoreThatNobodyHoldsIsGone() async throws {
        try await withSimulation(seed: 1) {
            weak var gone: MemoryStore?
            do {
                let store = MemoryStore()
                gone = store
                try await store.write("1", at: "a", ttl: .seconds(900))
                let changes = try await store.changes()
                try await store.write("2", at: "b")
                _ = try await changes.next()
            }
            #expect(gone == nil)
        }
    }

    @Test func cancelledTasksGetNothingDone() async throws {
        try await withSimulation(seed: 1) {
            let store = MemoryStore()
            let task = store.environment.spawn {
                try? await store.environment.clock.sleep(for: .seconds(9))
                _ = try? await store.write("1", at: "a")
            }
            task.cancel()
            await task.wait()
            let exists = try await store.exists("a")
            #expect(!exists)
        }
    }

    /// Against a dictionary: random writes, deletions, conditions, times to live and pages.
    @Test(arguments: 1...4 as ClosedRange<UInt64>) func isADictionary(seed: UInt64) async throws {
        try await withSimulation(seed: seed) {
            struct Entry {
                var value: Int
                var version: UInt64
                var expiry: EventLoopClock.Instant?
            }
            let store = MemoryStore()
            let clock = store.environment.clock
            var dice = SeededRandom(seed: seed)
            var model: [String: Entry] = [:]
            var last: UInt64 = 0
            let changes = try await store.changes()
            for step in 0..<2_000 {
                let now = clock.now
                model = model.filter { $0.value.expiry.map { $0 > now } ?? true }
                let key =
                    "\("abc".randomElement(using: &dice) ?? "a")/\(Int.random(in: 0..<40, using: &dice))"
                let conditions: [WriteCondition] = [
                    .any, .any, .absent, .version(model[key]?.version ?? 1),
                    .version(UInt64.random(in: 0...(last + 1), using: &dice)),
                ]
                let condition = conditions.randomElement(using: &dice) ?? .any
                let holds = condition.holds(for: model[key]?.version)
                switch Int.random(in: 0..<10, using: &dice) {
                case 0...4:
                    let ttl = [nil, nil, 10, 50].randomElement(using: &dice)?
                        .map { Duration.milliseconds($0) }
                    do {
                        let version = try await store.write(step, at: key, ttl: ttl, if: condition)
                        #expect(holds)
                        #expect(version > last)
                        last = version
                        model[key] = Entry(
                            value: step, version: version,
                            expiry: ttl.map { now.advanced(by: $0) })
                    } catch let error as MicroError {
                        #expect(!holds, "\(error)")
                        #expect(error.reason == "VERSION_CONFLICT")
                    }
                case 5, 6:
                    do {
                        let existed = try await store.delete(key, if: condition)
                        #expect(holds)
                        let wasThere = model.removeValue(forKey: key) != nil
                        #expect(existed == wasThere)
                    } catch let error as MicroError {
                        #expect(!holds, "\(error)")
                    }
                case 7:
                    let value = try await store.read(key, as: Int.self)
                    #expect(value == model[key]?.value)
                case 8:
                    let limit = Int.random(in: 1...20, using: &dice)
                    let page = try await store.list(
                        StoreQuery(prefix: "b/", suffix: "3", after: key, limit: limit))
                    let all = model.keys.sorted { ExactOrder.precedes($0, $1) }
                        .filter { $0.hasPrefix("b/") && $0.hasSuffix("3") && key < $0 }
                    #expect(page.keys == Array(all.prefix(limit)))
                    #expect((page.next != nil) == (all.count > limit))
                default:
                    try await clock.sleep(for: .milliseconds(Int64.random(in: 1...9, using: &dice)))
                }
            }
            // The changes, replayed, make the same state.
            try await clock.sleep(for: .seconds(1))
            model = model.filter { $0.value.expiry == nil }
            try await store.write(-1, at: "end")
            var replayed: [String: Int] = [:]
            var revision: UInt64 = 0
            while let change = try await changes.next() {
                #expect(change.revision > revision)
                revision = change.revision
                if change.key == "end" { break }
                switch change.kind {
                case .written: replayed[change.key] = try await store.read(change.key) ?? -2
                case .deleted, .expired:
                    let wasThere = replayed.removeValue(forKey: change.key) != nil
                    #expect(wasThere)
                }
            }
            replayed = replayed.filter { $0.value != -2 }
            #expect(replayed == model.mapValues(\.value))
        }
    }

    private enum ExactOrder {
        static func precedes(_ lhs: String, _ rhs: String) -> Bool {
            lhs.utf8.lexicographicallyPrecedes(rhs.utf8)
        }
    }
}
