import Micro
import MicroTesting
import Synchronization
import Testing

@Suite struct MemorySyncTests {
    @Test(arguments: SyncConformance.checks, [1, 2, 3] as [UInt64])
    func conforms(check: String, seed: UInt64) async throws {
        try await withSimulation(seed: seed) {
            try await SyncConformance { MemorySync() }.run([check])
        }
    }

    @Test func conformsOnThreads() async throws {
        try await SyncConformance { MemorySync() }.run([
            "concurrent bodies never overlap", "waiters come in their order",
            "a body releases, whatever its end",
        ])
    }

    @Test func waitersHaveABound() async throws {
        try await withSimulation(seed: 1) {
            let sync = MemorySync(maxWaiters: 1)
            let lease = try await sync.acquire("a", ttl: .seconds(60), timeout: nil)
            let waiter = sync.environment.spawn {
                _ = try? await sync.acquire("a", ttl: .seconds(60), timeout: nil)
            }
            try await sync.environment.clock.sleep(for: .milliseconds(1))
            await expectError(.resourceExhausted, reason: "TOO_MANY_WAITERS") {
                _ = try await sync.acquire("a", ttl: .seconds(60), timeout: nil)
            }
            _ = try await sync.acquire("b", ttl: .seconds(60), timeout: nil)
            try await sync.release(lease)
            await waiter.wait()
        }
    }

    /// A store that is given the tokens refuses who has lost the lock without knowing it.
    @Test func aPausedHolderIsFencedOff() async throws {
        try await withSimulation(seed: 1) {
            let sync = MemorySync()
            let store = MemoryStore()
            let clock = sync.environment.clock
            let paused = try await sync.acquire("report", ttl: .seconds(1), timeout: .zero)
            try await store.write("first", at: "report", fencedBy: paused.token)
            try await clock.sleep(for: .seconds(2))
            try await sync.withLock("report") { lease in
                try await store.write("second", at: "report", fencedBy: lease.token)
            }
            await expectError(.failedPrecondition, reason: "STALE_FENCE") {
                try await store.write("late", at: "report", fencedBy: paused.token)
            }
            #expect(try await store.read("report") == "second")
        }
    }

    @Test func locksThatNobodyHoldsAreGone() async throws {
        try await withSimulation(seed: 1) {
            weak var gone: MemorySync?
            do {
                let sync = MemorySync()
                gone = sync
                _ = try await sync.acquire("a", ttl: .seconds(900), timeout: .zero)
            }
            #expect(gone == nil)
        }
    }

    private final class Grants: Sendable {
        let all = Mutex<[(token: UInt64, from: UInt64, to: UInt64)]>([])
    }

    /// Many tasks, leases that are lost, waits that end: never two holders, and tokens that grow.
    @Test(arguments: 1...10 as ClosedRange<UInt64>) func neverTwoHolders(seed: UInt64) async throws
    {
        try await withSimulation(seed: seed) {
            let sync = MemorySync()
            let environment = sync.environment
            let clock = environment.clock
            @Sendable func pick(_ bound: UInt64) -> Duration {
                .milliseconds(Int64(environment.random() % bound))
            }
            let grants = Grants()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<10 {
                    group.addTask {
                        for _ in 0..<30 {
                            let ttl = Duration.milliseconds(20) + pick(50)
                            guard
                                let lease = try? await sync.acquire(
                                    "a", ttl: ttl, timeout: pick(200))
                            else { continue }
                            let from = clock.now
                            try await clock.sleep(for: pick(60))
                            let end = min(clock.now, lease.expiry)
                            grants.all.withLock {
                                $0.append((lease.token, from.nanoseconds, end.nanoseconds))
                            }
                            // Sometimes it's just forgotten, sometimes lost already.
                            if environment.random() % 3 > 0 { try? await sync.release(lease) }
                        }
                    }
                }
                try await group.waitForAll()
            }
            let all = grants.all.withLock { $0.sorted { $0.token < $1.token } }
            #expect(all.count > 50)
            for (earlier, later) in zip(all, all.dropFirst()) {
                #expect(earlier.token < later.token)
                #expect(earlier.to <= later.from, "\(earlier) and \(later) overlap")
            }
        }
    }
}
