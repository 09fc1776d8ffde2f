extension Sync {
    /// Runs `body` in at most `permits` places at a time.
    ///
    /// Each permit is a lock of its own, so it has a token, is renewed, and lost as that of
    /// ``withLock(_:ttl:timeout:_:)``. Who waits gets one in the order in which they came.
    /// - Parameters:
    ///   - name: Of the semaphore.
    ///   - permits: How many there are: 1 to 100. All callers have to say the same: one who says
    ///     fewer uses only the first ones.
    ///   - ttl: How long a permit is out of use at most when its holder dies. Default 30 seconds.
    ///   - timeout: How long to wait for one; nil: as long as it takes. Default 30 seconds.
    ///   - body: What to do.
    /// - Throws: As ``withLock(_:ttl:timeout:_:)``.
    @discardableResult
    public func withSemaphore<T: Sendable>(
        _ name: String, permits: Int, ttl: Duration = .seconds(30),
        timeout: Duration? = .seconds(30), _ body: @escaping @Sendable (Lease) async throws -> T
    ) async throws -> T {
        guard (1...100).contains(permits) else {
            throw MicroError.invalid(
                "sync.semaphore", "permits is \(permits): it must be 1 to 100", at: "permits")
        }
        let deadline = timeout.map { environment.clock.now.advanced(by: $0) }
        // One at a time looks for a permit, the others stand in its lock's queue.
        let permit = try await withLock(
            "$semaphore/\(name)/gate", ttl: ttl, timeout: timeout
        ) { _ in
            try await takePermit(of: name, permits, ttl, until: deadline)
        }
        switch await LeaseKeeper(sync: self, lease: permit).run(body) {
        case .ended(let result): return try result.get()
        case .lost:
            throw MicroError.aborted(
                "sync.semaphore",
                "a permit of \"\(name)\" was lost while its body ran: more than \(permits) may have"
                    + " run", reason: SyncRefusal.lostReason,
                metadata: ["semaphore": name, "token": String(permit.token)])
        }
    }

    private func takePermit(
        of name: String, _ permits: Int, _ ttl: Duration, until deadline: EventLoopClock.Instant?
    ) async throws -> Lease {
        let locks = (1...permits).map { "$semaphore/\(name)/\($0)" }
        for lock in locks {
            do {
                return try await acquire(lock, ttl: ttl, timeout: .zero)
            } catch let error as MicroError where error.reason == "LOCK_TIMEOUT" {
                continue
            }
        }
        let left = deadline.map { max(.zero, environment.clock.now.duration(to: $0)) }
        return try await firstOf(locks, ttl: ttl, timeout: left)
    }

    /// The first of several locks that is free; those that come at the same time are given back.
    private func firstOf(
        _ locks: [String], ttl: Duration, timeout: Duration?
    ) async throws -> Lease {
        try await withThrowingTaskGroup(of: Lease.self) { group in
            for lock in locks {
                group.addTask { try await acquire(lock, ttl: ttl, timeout: timeout) }
            }
            guard let first = try await group.next() else { throw CancellationError() }
            group.cancelAll()
            while let other = await group.nextResult() {
                if case .success(let lease) = other {
                    await environment.uncancelled { try? await self.release(lease) }
                }
            }
            return first
        }
    }
}
