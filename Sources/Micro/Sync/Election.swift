internal import Synchronization

/// A candidate for a role that one of many has at a time.
///
/// ```swift
/// let election = Election(for: "scheduler", in: sync)
/// let lease = try await election.campaign()   // waits, and leads from here on
/// …
/// await election.resign()
/// ```
/// ``Sync/withLeadership(of:ttl:_:)`` is the same around a body, and safer: it ends the body. Here,
/// whoever leads has to look at ``lost()``.
public final class Election: Sendable {
    private struct Term {
        let lease: Lease
        let resignation = Latch<Void>()
        let end = Latch<Void>()
    }

    /// The role.
    public let role: String
    private let sync: any Sync
    private let ttl: Duration
    private let term = Mutex<Term?>(nil)

    /// Makes a candidate who does not stand yet.
    ///
    /// - Parameter ttl: How long the role is vacant at most when this process dies. Default 15
    ///   seconds.
    public init(for role: String, in sync: any Sync, ttl: Duration = .seconds(15)) {
        self.role = role
        self.sync = sync
        self.ttl = ttl
    }

    /// Whether this candidate leads. It may be over in the next moment: write with the token.
    public var isLeading: Bool { lease != nil }

    /// The lease under which this candidate leads; nil: it doesn't.
    public var lease: Lease? {
        term.withLock { term in term.flatMap { $0.end.isOpen ? nil : $0.lease } }
    }

    /// Who leads now; nil: nobody.
    public var leader: LeaseHolder? {
        get async throws { try await sync.leader(of: role) }
    }

    /// Waits to become the leader. The lease is renewed from then on, until ``resign()``.
    ///
    /// - Parameter timeout: How long to wait; nil: as long as it takes.
    /// - Throws: ``MicroError``: as ``Sync/acquire(_:ttl:timeout:)``; `failedPrecondition` when it
    ///   leads already. `CancellationError`.
    @discardableResult
    public func campaign(timeout: Duration? = nil) async throws -> Lease {
        guard !isLeading else { throw Election.leadsAlready(role) }
        let lease = try await sync.acquire(leadershipLock(role), ttl: ttl, timeout: timeout)
        let own = Term(lease: lease)
        let isFirst = term.withLock { term in
            guard term?.end.isOpen ?? true else { return false }
            term = own
            return true
        }
        guard isFirst else {
            try? await sync.release(lease)
            throw Election.leadsAlready(role)
        }
        sync.environment.spawn { [sync] in
            await Election.keep(lease, of: sync, until: own.resignation)
            own.end.open()
        }
        return lease
    }

    /// Steps down, so that another can follow at once. Nothing happens when it doesn't lead.
    public func resign() async {
        guard let term = term.withLock({ $0 }) else { return }
        term.resignation.open()
        _ = try? await term.end.wait()
    }

    /// Waits until this candidate does not lead any more: it has resigned, or its lease is lost.
    ///
    /// It returns before somebody else can lead, by the clock of this machine.
    /// - Throws: `CancellationError`.
    public func lost() async throws {
        try await term.withLock { $0 }?.end.wait()
    }

    private static func keep(
        _ lease: Lease, of sync: some Sync, until resignation: Latch<Void>
    ) async {
        _ = await LeaseKeeper(sync: sync, lease: lease).run { _ in try await resignation.wait() }
    }

    private static func leadsAlready(_ role: String) -> MicroError {
        .failedPrecondition("sync.campaign", "this candidate leads \"\(role)\" already")
    }
}
