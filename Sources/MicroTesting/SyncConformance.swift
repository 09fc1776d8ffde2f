public import Micro

/// What every ``Sync`` does, as checks that an implementation runs in its own tests.
///
/// ```swift
/// @Test func conforms() async throws {
///     try await withSimulation(seed: 1) {
///         try await SyncConformance { MemorySync() }.run()
///     }
/// }
/// ```
/// Each check gets an instance of its own, closed afterwards.
public struct SyncConformance: Sendable {
    private let make: @Sendable () async throws -> any Sync
    private let patience: Duration
    private let ttl: Duration

    /// A suite for one implementation.
    ///
    /// - Parameters:
    ///   - ttl: A time to live that a check can wait for.
    ///   - patience: How long to wait for something before it counts as missing.
    ///   - make: Makes an instance that nobody else uses.
    public init(
        ttl: Duration = .milliseconds(600), patience: Duration = .seconds(30),
        make: @escaping @Sendable () async throws -> any Sync
    ) {
        self.make = make
        self.patience = patience
        self.ttl = ttl
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
        var body: @Sendable (SyncConformance) -> (any Sync) async throws -> Void
    }

    private static let all: [Check] = [
        Check(name: "a lock has one holder") { $0.exclusion },
        Check(name: "names are apart") { $0.names },
        Check(name: "tokens grow for ever") { $0.tokens },
        Check(name: "waiters come in their order") { $0.order },
        Check(name: "waiting ends in time") { $0.timeouts },
        Check(name: "who is cancelled leaves the queue") { $0.cancelling },
        Check(name: "a lease that is not renewed ends") { $0.expiry },
        Check(name: "each waiter gets its own time to live") { $0.waiterTTL },
        Check(name: "a renewed lease lives on") { $0.renewing },
        Check(name: "only the holder renews and releases") { $0.ownership },
        Check(name: "what is wrong is refused") { $0.refusals },
        Check(name: "a body holds the lock for as long as it runs") { $0.bodies },
        Check(name: "a body releases, whatever its end") { $0.endings },
        Check(name: "a body that loses its lease is cancelled") { $0.losing },
        Check(name: "concurrent bodies never overlap") { $0.contention },
        Check(name: "one leads at a time, and another follows") { $0.leadership },
        Check(name: "a leader that loses its lease stands again") { $0.reelection },
        Check(name: "others see who holds a lock") { $0.observing },
        Check(name: "a candidate leads until it resigns") { $0.campaigning },
        Check(name: "a semaphore has as many permits as it says") { $0.semaphores },
        Check(name: "a schedule runs once for all") { $0.schedules },
        Check(name: "closing ends everything") { $0.closing },
    ]

    // MARK: Tools

    private func acquire(
        _ name: String, _ sync: any Sync, ttl: Duration? = nil, timeout: Duration? = .zero
    ) async throws -> Lease {
        try await sync.acquire(name, ttl: ttl ?? self.ttl, timeout: timeout)
    }

    private func expectHeld(_ name: String, _ sync: any Sync) async throws {
        try await expectError(
            .deadlineExceeded, reason: "LOCK_TIMEOUT", "acquiring what somebody holds"
        ) { _ = try await acquire(name, sync) }
    }

    private actor Log {
        var entries: [String] = []
        var running = 0
        var most = 0
        func add(_ entry: String) { entries.append(entry) }
        func enter() {
            running += 1
            most = max(most, running)
        }
        func leave() { running -= 1 }
    }

    // MARK: Leases

    private func exclusion(_ sync: any Sync) async throws {
        let clock = sync.environment.clock
        let before = clock.now
        let lease = try await acquire("a", sync)
        try expect("a", lease.name, "name")
        try expect(ttl, lease.ttl, "ttl")
        let life = before.duration(to: lease.expiry)
        try require(life > .zero && life <= ttl + .seconds(1), "the lease lives \(life) of \(ttl)")
        try await expectHeld("a", sync)
        try await sync.release(lease)
        let next = try await acquire("a", sync)
        try await sync.release(next)
    }

    private func names(_ sync: any Sync) async throws {
        let names = ["a", "b", "A", "a ", "a/b", "e\u{301}", "\u{e9}"]
        var leases: [Lease] = []
        for name in names { leases.append(try await acquire(name, sync)) }
        for lease in leases { try await sync.release(lease) }
    }

    private func tokens(_ sync: any Sync) async throws {
        var last: UInt64 = 0
        for name in ["a", "b", "a", "a", "c"] {
            let lease = try await acquire(name, sync)
            try require(lease.token > last, "token \(lease.token) after \(last)")
            let renewed = try await sync.renew(lease)
            try expect(lease.token, renewed.token, "token of the renewed lease")
            try await sync.release(renewed)
            last = lease.token
        }
    }

    private func order(_ sync: any Sync) async throws {
        let clock = sync.environment.clock
        let first = try await acquire("a", sync, ttl: .seconds(60))
        let log = Log()
        var waiters: [SpawnedTask] = []
        for number in 0..<5 {
            waiters.append(
                sync.environment.spawn {
                    guard
                        let lease = try? await sync.acquire(
                            "a", ttl: .seconds(60), timeout: .seconds(60))
                    else { return }
                    await log.add("\(number)")
                    try? await clock.sleep(for: .milliseconds(20))
                    try? await sync.release(lease)
                })
            // So that they come in this order, whatever is between us and the locks.
            try await clock.sleep(for: .milliseconds(20))
        }
        try expect([], await log.entries, "holders beside the first")
        try await sync.release(first)
        for waiter in waiters { await waiter.wait() }
        try expect(["0", "1", "2", "3", "4"], await log.entries, "order")
    }

    private func timeouts(_ sync: any Sync) async throws {
        let clock = sync.environment.clock
        let lease = try await acquire("a", sync, ttl: .seconds(60))
        let before = clock.now
        try await expectError(.deadlineExceeded, reason: "LOCK_TIMEOUT", "waiting too long") {
            _ = try await acquire("a", sync, timeout: .milliseconds(200))
        }
        let waited = before.duration(to: clock.now)
        try require(
            waited >= .milliseconds(200) && waited < .seconds(30),
            "gave up after \(waited), expected 200 ms")
        try await sync.release(lease)
        // Who gave up doesn't get it later.
        let next = try await acquire("a", sync)
        try await sync.release(next)
    }

    private func cancelling(_ sync: any Sync) async throws {
        let clock = sync.environment.clock
        let lease = try await acquire("a", sync, ttl: .seconds(60))
        let log = Log()
        let waiter = sync.environment.spawn {
            do {
                _ = try await sync.acquire("a", ttl: .seconds(60), timeout: nil)
                await log.add("acquired")
            } catch is CancellationError {
                await log.add("cancelled")
            } catch {
                await log.add("\(error)")
            }
        }
        try await clock.sleep(for: .milliseconds(50))
        waiter.cancel()
        await waiter.wait()
        try expect(["cancelled"], await log.entries, "end of the waiter")
        try await sync.release(lease)
        let next = try await acquire("a", sync)
        try await sync.release(next)
    }

    private func expiry(_ sync: any Sync) async throws {
        let clock = sync.environment.clock
        let lease = try await acquire("a", sync)
        try await clock.sleep(for: ttl / 2)
        try await expectHeld("a", sync)
        let next = try await acquire("a", sync, timeout: patience)
        try require(clock.now >= lease.expiry, "it was given to another before its expiry")
        try require(next.token > lease.token, "token \(next.token) after \(lease.token)")
        for (name, call) in [
            ("renewing", { _ = try await sync.renew(lease) }),
            ("releasing", { try await sync.release(lease) }),
        ] as [(String, () async throws -> Void)] {
            try await expectError(
                .failedPrecondition, reason: "LEASE_LOST", "\(name) a lost lease", call)
        }
        try await expectHeld("a", sync)
        try await sync.release(next)
    }

    private func waiterTTL(_ sync: any Sync) async throws {
        let clock = sync.environment.clock
        _ = try await acquire("a", sync)
        let second = try await acquire("a", sync, ttl: ttl * 3, timeout: patience)
        let before = clock.now
        _ = try await acquire("a", sync, timeout: patience)
        let waited = before.duration(to: clock.now)
        try require(clock.now >= second.expiry, "it was given to another before its expiry")
        try require(
            waited >= ttl * 2, "the second lease lived \(waited), expected about \(ttl * 3)")
    }

    private func renewing(_ sync: any Sync) async throws {
        let clock = sync.environment.clock
        var lease = try await acquire("a", sync)
        for _ in 0..<5 {
            try await clock.sleep(for: ttl / 2)
            let renewed = try await sync.renew(lease)
            try require(renewed.expiry > lease.expiry, "the expiry didn't move")
            lease = renewed
        }
        try await expectHeld("a", sync)
        try await sync.release(lease)
    }

    private func ownership(_ sync: any Sync) async throws {
        let lease = try await acquire("a", sync)
        let forged = [
            Lease(
                name: "a", token: lease.token, owner: lease.owner + "x", ttl: lease.ttl,
                expiry: lease.expiry, clock: lease.clock),
            Lease(
                name: "a", token: lease.token + 1, owner: lease.owner, ttl: lease.ttl,
                expiry: lease.expiry, clock: lease.clock),
            Lease(
                name: "b", token: lease.token, owner: lease.owner, ttl: lease.ttl,
                expiry: lease.expiry, clock: lease.clock),
        ]
        for other in forged {
            try await expectError(.failedPrecondition, reason: "LEASE_LOST", "renewing \(other)") {
                _ = try await sync.renew(other)
            }
            try await expectError(.failedPrecondition, reason: "LEASE_LOST", "releasing \(other)") {
                try await sync.release(other)
            }
        }
        try await expectHeld("a", sync)
        try await sync.release(lease)
        try await expectError(.failedPrecondition, reason: "LEASE_LOST", "releasing twice") {
            try await sync.release(lease)
        }
    }

    private func refusals(_ sync: any Sync) async throws {
        for name in ["", String(repeating: "n", count: 513)] {
            try await expectError(.invalidArgument, "a name of \(name.utf8.count) bytes") {
                _ = try await acquire(name, sync)
            }
        }
        for ttl in [Duration.zero, .seconds(-1), .milliseconds(9)] {
            try await expectError(.invalidArgument, "a ttl of \(ttl)") {
                _ = try await acquire("a", sync, ttl: ttl)
            }
        }
    }

    // MARK: Bodies

    private func bodies(_ sync: any Sync) async throws {
        let ttl = ttl
        let result = try await sync.withLock("a", ttl: ttl) { lease in
            // Longer than the lease lives without renewal.
            try await lease.clock.sleep(for: ttl * 4)
            try await expectHeld("a", sync)
            return lease.token
        }
        try require(result > 0, "the token is \(result)")
        let lease = try await acquire("a", sync)
        try require(lease.token > result, "token \(lease.token) after \(result)")
        try await expectError(.deadlineExceeded, reason: "LOCK_TIMEOUT", "a body that can't begin")
        {
            try await sync.withLock("a", ttl: ttl, timeout: .milliseconds(50)) { _ in }
        }
        try await sync.release(lease)
    }

    private func endings(_ sync: any Sync) async throws {
        try await expectError(.notFound, "the error of the body") {
            try await sync.withLock("a", ttl: .seconds(60)) { _ in
                throw MicroError.notFound("test", "no")
            }
        }
        try await sync.release(try await acquire("a", sync))
        let clock = sync.environment.clock
        let log = Log()
        let running = sync.environment.spawn {
            do {
                try await sync.withLock("a", ttl: .seconds(60)) { _ in
                    try await clock.sleep(for: .seconds(600))
                }
            } catch is CancellationError {
                await log.add("cancelled")
            } catch {
                await log.add("\(error)")
            }
        }
        try await clock.sleep(for: .milliseconds(50))
        try await expectHeld("a", sync)
        running.cancel()
        await running.wait()
        try expect(["cancelled"], await log.entries, "end of the body")
        try await sync.release(try await acquire("a", sync))
    }

    private func losing(_ sync: any Sync) async throws {
        let clock = sync.environment.clock
        let log = Log()
        let ttl = ttl
        let before = clock.now
        try await expectError(.aborted, reason: "LEASE_LOST", "a body whose lease is lost") {
            _ = try await sync.withLock("a", ttl: ttl) { lease in
                try await sync.release(lease)
                do {
                    try await clock.sleep(for: .seconds(600))
                } catch {
                    await log.add("cancelled")
                }
                return "ignored"
            }
        }
        try expect(["cancelled"], await log.entries, "what the body saw")
        let waited = before.duration(to: clock.now)
        try require(waited < ttl + .seconds(30), "it was cancelled after \(waited)")
        // A body that is faster than the renewal: its work may have overlapped all the same.
        try await expectError(.aborted, reason: "LEASE_LOST", "a body that ends without its lease")
        {
            try await sync.withLock("a", ttl: ttl) { lease in try await sync.release(lease) }
        }
    }

    private func contention(_ sync: any Sync) async throws {
        let clock = sync.environment.clock
        let log = Log()
        let random = sync.environment
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<5 {
                        try await sync.withLock("a", ttl: .seconds(60), timeout: .seconds(600)) {
                            _ in
                            await log.enter()
                            try await clock.sleep(for: .milliseconds(Int64(random.random() % 10)))
                            await log.leave()
                            await log.add("done")
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        try expect(1, await log.most, "bodies at the same time")
        try expect(40, await log.entries.count, "bodies")
    }

    private func leadership(_ sync: any Sync) async throws {
        let clock = sync.environment.clock
        let log = Log()
        let ttl = ttl
        // A lock of the same name is another thing.
        let lock = try await acquire("scheduler", sync, ttl: .seconds(600))
        var candidates: [SpawnedTask] = []
        for number in 0..<3 {
            candidates.append(
                sync.environment.spawn {
                    try? await sync.withLeadership(of: "scheduler", ttl: ttl) { _ in
                        await log.enter()
                        await log.add("\(number)")
                        try? await clock.sleep(for: .seconds(600))
                        await log.leave()
                    }
                })
            try await clock.sleep(for: .milliseconds(20))
        }
        try await clock.sleep(for: ttl * 3)
        try expect(["0"], await log.entries, "leaders")
        candidates[0].cancel()
        await candidates[0].wait()
        try await clock.sleep(for: .milliseconds(100))
        try expect(["0", "1"], await log.entries, "leaders after the first was cancelled")
        for candidate in candidates { candidate.cancel() }
        for candidate in candidates { await candidate.wait() }
        try expect(1, await log.most, "leaders at the same time")
        try await sync.release(lock)
    }

    private func reelection(_ sync: any Sync) async throws {
        let clock = sync.environment.clock
        let log = Log()
        let ttl = ttl
        let result = try await sync.withLeadership(of: "r", ttl: ttl) { lease in
            await log.add("led")
            if await log.entries.count == 1 {
                try await sync.release(lease)
                try await clock.sleep(for: .seconds(600))
            }
            return lease.token
        }
        try expect(["led", "led"], await log.entries, "runs")
        try require(result > 1, "the second token is \(result)")
        try await expectError(.notFound, "the error of a leader") {
            try await sync.withLeadership(of: "r", ttl: ttl) { _ in
                throw MicroError.notFound("test", "no")
            }
        }
    }

    private func observing(_ sync: any Sync) async throws {
        try expect(nil, try await sync.holder(of: "a"), "holder of what nobody holds")
        let lease = try await acquire("a", sync)
        try expect(lease.token, try await sync.holder(of: "a")?.token, "token of the holder")
        let renewed = try await sync.renew(lease)
        try expect(lease.token, try await sync.holder(of: "a")?.token, "token after a renewal")
        var holders = sync.holders(of: "a", every: .milliseconds(20)).makeAsyncIterator()
        try expect(lease.token, try await holders.next()??.token, "the first holder")
        try await sync.release(renewed)
        try expect(.some(nil), try await holders.next(), "the holder after the release")
        let next = try await acquire("a", sync)
        try expect(next.token, try await holders.next()??.token, "the next holder")
        try await sync.environment.clock.sleep(for: ttl * 2)
        try expect(nil, try await sync.holder(of: "a"), "holder after the lease has ended")
    }

    private func campaigning(_ sync: any Sync) async throws {
        let (one, two) = (
            Election(for: "role", in: sync, ttl: ttl), Election(for: "role", in: sync, ttl: ttl)
        )
        let lease = try await one.campaign(timeout: .zero)
        try require(one.isLeading && !two.isLeading, "the wrong one leads")
        try expect(lease.token, try await two.leader?.token, "leader")
        try await expectError(.deadlineExceeded, "standing against a leader") {
            try await two.campaign(timeout: ttl * 2)
        }
        try require(one.isLeading, "the lease of a leader was not renewed")
        try await expectError(.failedPrecondition, "standing while leading") {
            try await one.campaign()
        }
        await one.resign()
        try require(!one.isLeading, "it leads after it has resigned")
        let second = try await two.campaign(timeout: patience)
        try require(second.token > lease.token, "token \(second.token) after \(lease.token)")
        // Taken away, as by one who thinks that it is dead.
        try await sync.release(second)
        try await two.lost()
        try require(!two.isLeading, "it leads without a lease")
        await two.resign()
    }

    private func semaphores(_ sync: any Sync) async throws {
        let clock = sync.environment.clock
        let log = Log()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<9 {
                group.addTask {
                    try await sync.withSemaphore("s", permits: 3, timeout: .seconds(600)) { _ in
                        await log.enter()
                        try await clock.sleep(for: .milliseconds(50))
                        await log.leave()
                        await log.add("done")
                    }
                }
            }
            try await group.waitForAll()
        }
        try expect(9, await log.entries.count, "bodies")
        let most = await log.most
        try require(most <= 3, "\(most) bodies ran at the same time")
        for permits in [0, 101] {
            try await expectError(.invalidArgument, "\(permits) permits") {
                try await sync.withSemaphore("s", permits: permits) { _ in }
            }
        }
    }

    private func schedules(_ sync: any Sync) async throws {
        let environment = sync.environment
        let log = Log()
        let members = (0..<3).map { _ in
            environment.spawn {
                try? await sync.schedule("tick", every: .seconds(1)) { run in
                    await log.add("\(run.due)")
                }
            }
        }
        try await environment.clock.sleep(for: .seconds(3))
        for member in members { member.cancel() }
        for member in members { await member.wait() }
        let runs = await log.entries
        try require(runs.count >= 2, "\(runs.count) runs in 3 seconds")
        try expect(runs.count, Set(runs).count, "times that ran once")
        try await expectError(.invalidArgument, "a schedule of no time") {
            try await sync.schedule("tick", every: .zero) { _ in }
        }
    }

    private func closing(_ sync: any Sync) async throws {
        let lease = try await acquire("a", sync, ttl: .seconds(60))
        async let waiter: Void = expectError(.unavailable, "waiting") {
            _ = try await acquire("a", sync, timeout: patience)
        }.ignored()
        try await sync.environment.clock.sleep(for: .milliseconds(50))
        await sync.close()
        try await waiter
        try await expectError(.unavailable, "acquiring") { _ = try await acquire("b", sync) }
        try await expectError(.failedPrecondition, reason: "LEASE_LOST", "releasing") {
            try await sync.release(lease)
        }
        await sync.close()
    }
}

extension MicroError {
    fileprivate func ignored() {}
}
