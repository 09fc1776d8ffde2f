import Micro
import MicroTesting
import Synchronization
import Testing

/// Clients that are paused for longer than their leases live, cancelled, and that die with their
/// leases: what is written under the lock is in the order of its tokens all the same.
@Suite struct LockHistoryTests {
    enum Kind: CaseIterable { case memory, store }

    private func make(_ kind: Kind) -> any Sync {
        switch kind {
        case .memory: MemorySync()
        case .store: StoreSync(MemoryStore())
        }
    }

    @Test(arguments: Kind.allCases, 1...4 as ClosedRange<UInt64>)
    func fencedWritesAreInOrder(kind: Kind, seed: UInt64) async throws {
        try await withSimulation(seed: seed) {
            let sync = make(kind)
            let history = LockHistory()
            try await work(with: sync, history, isFenced: true)
            #expect(history.violations.isEmpty)
            #expect(history.writes > 100)
            // Pauses do happen while others write.
            #expect(history.refusals > 0)
        }
    }

    /// Without tokens the same clients overwrite each other, and it is seen.
    @Test func whoIsPausedDoesHarmWithoutAToken() async throws {
        try await withSimulation(seed: 1) {
            let history = LockHistory()
            try await work(with: MemorySync(), history, isFenced: false)
            #expect(!history.violations.isEmpty)
        }
    }

    /// Locks that give a token twice, or an older one, are caught.
    @Test func wrongTokensAreSeen() {
        func instant(_ number: UInt64) -> EventLoopClock.Instant { .init(nanoseconds: number) }
        let twice = LockHistory()
        twice.acquired(1, requested: instant(1), at: instant(2))
        twice.acquired(1, requested: instant(1), at: instant(2))
        #expect(twice.violations == ["token 1 was given twice"])
        let older = LockHistory()
        older.acquired(2, requested: instant(1), at: instant(2))
        older.acquired(1, requested: instant(3), at: instant(4))
        #expect(older.violations == ["token 1 was given after 2"])
        let concurrent = LockHistory()
        concurrent.acquired(2, requested: instant(1), at: instant(4))
        concurrent.acquired(1, requested: instant(2), at: instant(3))
        #expect(concurrent.violations.isEmpty)
    }

    /// Eight clients, for some minutes of virtual time.
    private func work(with sync: any Sync, _ history: LockHistory, isFenced: Bool) async throws {
        let environment = sync.environment
        let clock = environment.clock
        let store = MemoryStore()
        @Sendable func pause(_ limit: UInt64) async throws {
            try await clock.sleep(for: .milliseconds(Int64(environment.random() % limit)))
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for client in 0..<8 {
                group.addTask {
                    for round in 0..<40 {
                        let requested = clock.now
                        guard
                            let lease = try? await sync.acquire(
                                "a", ttl: .milliseconds(100), timeout: .seconds(20))
                        else { continue }
                        history.acquired(lease.token, requested: requested, at: clock.now)
                        // Often longer than the lease lives.
                        try await pause(150)
                        let began = clock.now
                        var isAccepted = true
                        do {
                            try await store.write(
                                "\(client)/\(round)", at: "report",
                                fencedBy: isFenced ? lease.token : nil)
                        } catch let error as MicroError where error.reason == "STALE_FENCE" {
                            isAccepted = false
                        }
                        history.wrote(
                            lease.token, from: began, to: clock.now, accepted: isAccepted)
                        try await pause(3)
                        // One of four dies with its lease.
                        if environment.random() % 4 > 0 { try? await sync.release(lease) }
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
