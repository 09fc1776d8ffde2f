extension Sync {
    /// Runs `body` while it holds a lock.
    ///
    /// The lease is renewed after each third of `ttl`, and released when `body` has returned or
    /// thrown, also when the task is cancelled. When the lease is lost, or can't be renewed for
    /// nine tenths of `ttl`, `body` is cancelled, and when it has ended this throws, whatever it
    /// returned.
    /// - Parameters:
    ///   - name: Of the lock.
    ///   - ttl: How long others wait at most when this process dies. Default 30 seconds.
    ///   - timeout: How long to wait for the lock; nil: as long as it takes. Default 30 seconds.
    ///   - body: What to do. Write with `fencedBy: lease.token` where it matters; see ``Sync``.
    /// - Throws: What `body` throws. ``MicroError``: as ``acquire(_:ttl:timeout:)``; `aborted` with
    ///   reason `LEASE_LOST`.
    @discardableResult
    public func withLock<T: Sendable>(
        _ name: String, ttl: Duration = .seconds(30), timeout: Duration? = .seconds(30),
        _ body: @escaping @Sendable (Lease) async throws -> T
    ) async throws -> T {
        let lease = try await acquire(name, ttl: ttl, timeout: timeout)
        switch await LeaseKeeper(sync: self, lease: lease).run(body) {
        case .ended(let result): return try result.get()
        case .lost:
            throw MicroError.aborted(
                "sync.lock",
                "the lease of \"\(name)\" was lost while its body ran: somebody else may have run too",
                reason: "LEASE_LOST", metadata: ["lock": name, "token": String(lease.token)])
        }
    }

    /// Runs `body` in one place at a time, of all that call this: waits to become the leader, and
    /// returns what `body` returns.
    ///
    /// When the leadership is lost, `body` is cancelled, and when it has ended, this waits to
    /// become the leader again and runs it anew. It goes on until `body` ends as the leader, or the
    /// task is cancelled.
    /// - Parameters:
    ///   - role: What to lead. Roles and locks of the same name are apart.
    ///   - ttl: How long the role is vacant at most when this process dies. Default 15 seconds.
    ///   - body: What the leader does.
    /// - Throws: What `body` throws while it leads; `CancellationError`; ``MicroError``: as
    ///   ``acquire(_:ttl:timeout:)``.
    @discardableResult
    public func withLeadership<T: Sendable>(
        of role: String, ttl: Duration = .seconds(15),
        _ body: @escaping @Sendable (Lease) async throws -> T
    ) async throws -> T {
        while true {
            let lease = try await acquire(leadershipLock(role), ttl: ttl, timeout: nil)
            switch await LeaseKeeper(sync: self, lease: lease).run(body) {
            case .ended(let result): return try result.get()
            case .lost: try Task.checkCancellation()
            }
        }
    }
}
