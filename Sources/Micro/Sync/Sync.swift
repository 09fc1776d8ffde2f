/// Locks for several tasks, processes or machines: leases that end by themselves.
///
/// A lock holder may be paused for longer than its lease lives, and not know that it has lost it.
/// Only the resource can refuse it then: give ``Lease/token`` along with each write, as
/// `store.write(…, fencedBy: lease.token)` does. Mutual exclusion is promised with that, and not
/// without.
///
/// Duties of an implementation, which `SyncConformance` of MicroTesting checks:
/// - Tokens grow for ever, over all locks and restarts of where they are kept.
/// - Only who holds a lease renews or releases it.
/// - Waiters get the lock in the order in which they came.
/// - ``Lease/expiry`` is never later than when the lock is given to somebody else.
public protocol Sync: Sendable {
    /// The kind of implementation, for logs: "memory", "etcd".
    var name: String { get }

    /// Where its time, tasks and randomness come from.
    var environment: Environment { get }

    /// Waits for the lock, and takes it.
    ///
    /// - Parameters:
    ///   - name: Of the lock: 1 to 512 bytes.
    ///   - ttl: How long the lease lives unless it's renewed: 10 ms or more.
    ///   - timeout: How long to wait; zero: only if it is free now; nil: as long as it takes.
    /// - Throws: ``MicroError``: `deadlineExceeded` with reason `LOCK_TIMEOUT`, `invalidArgument`,
    ///   `resourceExhausted` (too many wait), `unavailable` (closed). `CancellationError`: it isn't
    ///   held then.
    func acquire(_ name: String, ttl: Duration, timeout: Duration?) async throws -> Lease

    /// Makes a lease live for its ``Lease/ttl`` from now on.
    ///
    /// - Returns: The same lease with its new expiry.
    /// - Throws: ``MicroError``: `failedPrecondition` with reason `LEASE_LOST`; others mean that it
    ///   isn't known, and may be tried again until the lease expires.
    func renew(_ lease: Lease) async throws -> Lease

    /// Gives the lock to whoever waits for it.
    ///
    /// - Throws: ``MicroError``: `failedPrecondition` with reason `LEASE_LOST` when it wasn't held
    ///   any more; nothing happens then.
    func release(_ lease: Lease) async throws

    /// Who holds the lock now; nil: nobody.
    ///
    /// - Throws: ``MicroError``: `invalidArgument`, `unavailable` (closed).
    func holder(of name: String) async throws -> LeaseHolder?

    /// Ends all leases, and fails who waits. Idempotent.
    func close() async
}
