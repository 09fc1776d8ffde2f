import Foundation
import MicroTesting
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(5))) struct SQLiteStoreSimulationTests {
    @Test(arguments: StoreConformance.checks, [1, 2] as [UInt64])
    func conformsInASimulation(check: String, seed: UInt64) async throws {
        try await withTemporaryFolder { folder in
            try await withSimulation(seed: seed) {
                try await StoreConformance { try sqliteStore(folder, UUID().uuidString) }.run([
                    check
                ])
            }
        }
    }

    @Test func timeGoesOnWhileNobodyLooks() async throws {
        try await withTemporaryFolder { folder in
            try await withSimulation(seed: 1) {
                let clock = Environment.current.clock
                let first = try sqliteStore(folder)
                try await first.write("1", at: "a", ttl: .seconds(10))
                try await first.write("1", at: "b", ttl: .seconds(30))
                await first.close()
                try await clock.sleep(for: .seconds(11))
                let second = try sqliteStore(folder)
                #expect(try await second.record("a") == nil)
                let left = try #require(try await second.record("b")?.timeToLive)
                #expect(left <= .seconds(19) && left > .seconds(18))
                // The one that is over is taken out, and seen to be.
                let changes = try await second.changes()
                let gone = try await nextChange(changes)
                #expect(gone.key == "a" && gone.kind == .expired)
                let later = try await nextChange(changes)
                #expect(later.key == "b" && later.kind == .expired)
                await second.close()
            }
        }
    }

    @Test func anotherSimulationGoesOnWithTheFile() async throws {
        try await withTemporaryFolder { folder in
            for round in 1...3 {
                try await withSimulation(seed: 1) {
                    let store = try sqliteStore(folder)
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

    @Test func commitsShareTransactions() async throws {
        try await withTemporaryFolder { folder in
            try await withSimulation(seed: 1) {
                let store = try sqliteStore(folder)
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

    @Test func oneRefusalOfAGroupIsNotThatOfTheOthers() async throws {
        try await withTemporaryFolder { folder in
            try await withSimulation(seed: 1) {
                let store = try sqliteStore(folder)
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
                let store = try sqliteStore(folder)
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

    @Test func whoFallsBehindIsTold() async throws {
        try await withTemporaryFolder { folder in
            try await withSimulation(seed: 1) {
                let store = try sqliteStore(folder) { $0.limits.changes = 100 }
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

    @Test func aStoreThatNobodyHoldsIsGone() async throws {
        try await withTemporaryFolder { folder in
            try await withSimulation(seed: 1) {
                weak var gone: SQLiteStore?
                do {
                    let store = try sqliteStore(folder)
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
}
