import Micro
import MicroTesting
import Testing

@Suite struct StoreSyncTests {
    @Test(arguments: SyncConformance.checks, [1, 2, 3] as [UInt64])
    func conforms(check: String, seed: UInt64) async throws {
        try await withSimulation(seed: seed) {
            try await SyncConformance { StoreSync(MemoryStore()) }.run([check])
        }
    }

    @Test func conformsOnThreads() async throws {
        try await SyncConformance { StoreSync(MemoryStore()) }.run([
            "concurrent bodies never overlap", "waiters come in their order",
            "a body releases, whatever its end",
        ])
    }

    /// Two objects on one store are two processes.
    @Test func locksAreOfTheStore() async throws {
        try await withSimulation(seed: 1) {
            let store = MemoryStore()
            let (one, two) = (StoreSync(store), StoreSync(store))
            let lease = try await one.acquire("a", ttl: .seconds(60), timeout: .zero)
            await expectError(.deadlineExceeded, reason: "LOCK_TIMEOUT") {
                _ = try await two.acquire("a", ttl: .seconds(60), timeout: .seconds(1))
            }
            let waiter = store.environment.spawn {
                let next = try? await two.acquire("a", ttl: .seconds(60), timeout: nil)
                #expect(next.map { $0.token > lease.token } == true)
            }
            try await store.environment.clock.sleep(for: .seconds(100))
            await waiter.wait()
            await expectError(.failedPrecondition, reason: "LEASE_LOST") {
                try await one.release(lease)
            }
            // What is closed gives its leases back, and leaves the store open.
            await two.close()
            let last = try await one.acquire("a", ttl: .seconds(60), timeout: .zero)
            try await one.release(last)
        }
    }

    /// A lock that somebody holds is in nobody's way when its name begins another's.
    @Test func namesMayBeAnything() async throws {
        try await withSimulation(seed: 1) {
            let sync = StoreSync(MemoryStore())
            for name in [
                "a", "a/lock", "a/queue/1", "1/a", "%", "é", String(repeating: "n", count: 512),
            ] {
                _ = try await sync.acquire(name, ttl: .seconds(60), timeout: .zero)
            }
            await expectError(.invalidArgument) {
                _ = try await sync.acquire("a\0b", ttl: .seconds(60), timeout: .zero)
            }
        }
    }

    @Test func waitersHaveABound() async throws {
        try await withSimulation(seed: 1) {
            var options = StoreSync.Options()
            options.maxWaiters = 1
            let sync = StoreSync(MemoryStore(), options: options)
            let lease = try await sync.acquire("a", ttl: .seconds(60), timeout: nil)
            let waiter = sync.environment.spawn {
                _ = try? await sync.acquire("a", ttl: .seconds(60), timeout: nil)
            }
            try await sync.environment.clock.sleep(for: .milliseconds(1))
            await expectError(.resourceExhausted, reason: "TOO_MANY_WAITERS") {
                _ = try await sync.acquire("a", ttl: .seconds(60), timeout: nil)
            }
            try await sync.release(lease)
            await waiter.wait()
        }
    }

    /// A waiter whose process has died holds up the others for as long as its ticket lives.
    @Test func aDeadWaiterIsPassedOver() async throws {
        try await withSimulation(seed: 1) {
            let store = MemoryStore()
            let sync = StoreSync(store)
            let clock = store.environment.clock
            let lease = try await sync.acquire("a", ttl: .seconds(600), timeout: .zero)
            // As the first waiter leaves it behind.
            try await store.write(1 as UInt64, at: "sync/1/a/last")
            try await store.write(
                1 as UInt64, at: "sync/1/a/queue/00000000000000000001", ttl: .seconds(10))
            let before = clock.now
            let waiter = store.environment.spawn {
                do {
                    _ = try await sync.acquire("a", ttl: .seconds(60), timeout: .seconds(60))
                } catch {
                    Issue.record(error)
                }
            }
            try await clock.sleep(for: .seconds(1))
            try await sync.release(lease)
            await waiter.wait()
            let waited = before.duration(to: clock.now)
            #expect(waited >= .seconds(10) && waited < .seconds(16), "\(waited)")
        }
    }
}
