import Micro
import Synchronization
import Testing

/// Locks whose renewals go wrong, as they do across a network.
@Suite struct LeaseKeeperTests {
    private final class FaultySync: Sync {
        enum Renewal: Sendable { case works, fails, hangs }

        let base = MemorySync()
        let renewal = Mutex(Renewal.works)
        let renewals = Mutex(0)
        let releases = Mutex(0)

        var name: String { "faulty" }
        var environment: Environment { base.environment }

        func acquire(_ name: String, ttl: Duration, timeout: Duration?) async throws -> Lease {
            try await base.acquire(name, ttl: ttl, timeout: timeout)
        }

        func renew(_ lease: Lease) async throws -> Lease {
            renewals.withLock { $0 += 1 }
            switch renewal.withLock({ $0 }) {
            case .works: return try await base.renew(lease)
            case .fails: throw MicroError.unavailable("test", "no network")
            case .hangs:
                try await environment.clock.sleep(for: .seconds(3_600))
                return lease
            }
        }

        func release(_ lease: Lease) async throws {
            // What a cancelled task asks of a network would fail.
            try Task.checkCancellation()
            releases.withLock { $0 += 1 }
            try await base.release(lease)
        }

        func holder(of name: String) async throws -> LeaseHolder? {
            try await base.holder(of: name)
        }

        func close() async { await base.close() }
    }

    @Test func renewsAfterEachThird() async throws {
        try await withSimulation(seed: 1) {
            let sync = FaultySync()
            try await sync.withLock("a", ttl: .seconds(3)) { lease in
                try await lease.clock.sleep(for: .milliseconds(10_500))
            }
            #expect(sync.renewals.withLock { $0 } == 10)
            #expect(sync.releases.withLock { $0 } == 1)
        }
    }

    @Test(arguments: [false, true]) func aBodyThatCannotBeRenewedIsCancelledInTime(
        hangs: Bool
    ) async throws {
        try await withSimulation(seed: 1) {
            let sync = FaultySync()
            let clock = sync.environment.clock
            let cancelled = Mutex<EventLoopClock.Instant?>(nil)
            let expiry = Mutex<EventLoopClock.Instant?>(nil)
            sync.renewal.withLock { $0 = hangs ? .hangs : .fails }
            await expectError(.aborted, reason: "LEASE_LOST") {
                try await sync.withLock("a", ttl: .seconds(3)) { lease in
                    expiry.withLock { $0 = lease.expiry }
                    try? await clock.sleep(for: .seconds(600))
                    cancelled.withLock { $0 = clock.now }
                }
            }
            let end = try #require(expiry.withLock { $0 })
            let seen = try #require(cancelled.withLock { $0 })
            #expect(seen < end)
            #expect(seen.duration(to: end) <= .milliseconds(300))
        }
    }

    @Test func aFailedRenewalIsTriedAgain() async throws {
        try await withSimulation(seed: 1) {
            let sync = FaultySync()
            let clock = sync.environment.clock
            try await sync.withLock("a", ttl: .seconds(3)) { _ in
                for _ in 0..<5 {
                    sync.renewal.withLock { $0 = .fails }
                    try await clock.sleep(for: .milliseconds(1_300))
                    sync.renewal.withLock { $0 = .works }
                    try await clock.sleep(for: .milliseconds(1_300))
                }
            }
            #expect(clock.now.nanoseconds > 13_000_000_000)
        }
    }

    @Test func aCancelledBodyIsReleasedAllTheSame() async throws {
        try await withSimulation(seed: 1) {
            let sync = FaultySync()
            let clock = sync.environment.clock
            let task = sync.environment.spawn {
                try? await sync.withLock("a", ttl: .seconds(60)) { lease in
                    try await lease.clock.sleep(for: .seconds(600))
                }
            }
            try await clock.sleep(for: .milliseconds(1))
            task.cancel()
            await task.wait()
            #expect(sync.releases.withLock { $0 } == 1)
            let next = try await sync.acquire("a", ttl: .seconds(1), timeout: .zero)
            try await sync.release(next)
        }
    }

    /// A body that doesn't notice its cancellation is waited for: it may still be writing.
    @Test func aStubbornBodyIsWaitedFor() async throws {
        try await withSimulation(seed: 1) {
            let sync = FaultySync()
            let ended = Mutex(false)
            sync.renewal.withLock { $0 = .fails }
            await expectError(.aborted, reason: "LEASE_LOST") {
                try await sync.withLock("a", ttl: .seconds(3)) { lease in
                    let waiting = sync.environment.spawn {
                        try? await lease.clock.sleep(for: .seconds(60))
                    }
                    await waiting.wait()
                    ended.withLock { $0 = true }
                }
            }
            #expect(ended.withLock { $0 })
        }
    }
}
