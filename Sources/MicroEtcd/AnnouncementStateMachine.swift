internal import Micro

/// How a node gets into etcd and stays there, step by step: pure.
///
/// Its key ends with a lease that is the node's own. Whose a key is, is told by its lease: those
/// that were granted here are in ``leases``. The first time a node takes its key from whoever has
/// it; from then on it changes it only as long as it is its own, so that two processes of one id do
/// not take turns.
struct AnnouncementStateMachine {
    /// What has to be done next.
    enum Step: Hashable {
        /// Ask whose the key is: ``looked(_:)``.
        case look
        /// Ask whether the lease lives: ``checked(_:)``.
        case check(lease: Int64)
        /// Make a lease: ``granted(_:)``.
        case grant(seconds: Int64)
        /// Write, or only compare: ``wrote(revision:)`` or ``conflicted(_:)``.
        case write(Write)
        /// The node is there; these leases are of no use any more.
        case done(revoke: [Int64])
        /// Another process has the key.
        case refused(revoke: [Int64])
    }

    struct Write: Hashable {
        var condition: Condition
        var lease: Int64
        /// nil: the key stands as it should.
        var node: ServiceNode?
    }

    enum Condition: Hashable {
        case none
        case absent
        case unchangedSince(Int64)
    }

    /// A key as it was found.
    struct Found: Hashable {
        var revision: Int64
        var lease: Int64
    }

    private struct Written {
        var node: ServiceNode
        var lease: Int64
        var revision: Int64
    }

    private enum Phase { case looking, leasing, writing, done, refused }

    /// Granted here, and not known to have ended.
    private(set) var leases: Set<Int64> = []
    /// The one that the key should have.
    private var lease: Int64?
    private var leaseSeconds: Int64 = 0
    private var seconds: Int64 = 0
    private var node: ServiceNode?
    private var written: Written?
    /// Another process had the key when it was last seen.
    private(set) var isDisplaced = false
    private var condition = Condition.none
    private var mustWrite = false
    private var phase = Phase.done

    /// Whether the key was ever its own.
    var isEntered: Bool { written != nil }

    /// Of the last write.
    var revision: Int64? { written?.revision }

    /// Begins to announce. What was begun before and not finished is given up.
    ///
    /// - Parameters:
    ///   - seconds: The time to live of a lease that has to be made.
    ///   - keepsLease: A lease that lives is kept, whatever its time to live.
    mutating func begin(_ node: ServiceNode, seconds: Int64, keepsLease: Bool) {
        if seconds != leaseSeconds, !keepsLease { lease = nil }
        self.node = node
        self.seconds = seconds
        mustWrite = false
        condition = written.map { .unchangedSince($0.revision) } ?? .none
        phase = isDisplaced ? .looking : .leasing
    }

    func next() -> Step {
        switch phase {
        case .looking: return .look
        case .leasing:
            guard let lease else { return .grant(seconds: seconds) }
            return .check(lease: lease)
        case .writing:
            let isRight = written?.node == node && written?.lease == lease && !mustWrite
            return .write(
                Write(condition: condition, lease: lease ?? 0, node: isRight ? nil : node))
        case .done: return .done(revoke: leases.filter { $0 != lease }.sorted())
        case .refused: return .refused(revoke: leases.sorted())
        }
    }

    mutating func looked(_ found: Found?) {
        guard judge(found) else { return }
        phase = .leasing
    }

    /// - Parameter seconds: What is left of the lease; 0 when it has ended.
    mutating func checked(_ seconds: Int64) {
        if seconds > 0 {
            phase = .writing
        } else if let ended = lease.take() {
            leases.remove(ended)
        }
    }

    mutating func granted(_ id: Int64) {
        lease = id
        leaseSeconds = seconds
        leases.insert(id)
        phase = .writing
    }

    /// The lease ended before the key was written.
    mutating func lostLease() {
        if let ended = lease.take() { leases.remove(ended) }
        phase = .leasing
    }

    /// - Parameter revision: Of what was written; nil when nothing had to be.
    mutating func wrote(revision: Int64?) {
        phase = .done
        guard let revision, let node, let lease else { return }
        written = Written(node: node, lease: lease, revision: revision)
    }

    /// The condition of a write was not true.
    mutating func conflicted(_ found: Found?) {
        guard judge(found) else { return }
        mustWrite = true
    }

    /// These leases have ended.
    mutating func revoked(_ ids: [Int64]) {
        leases.subtract(ids)
        if let current = lease, !leases.contains(current) { lease = nil }
    }

    /// - Returns: Whether the node may have the key.
    private mutating func judge(_ found: Found?) -> Bool {
        guard let found else {
            isDisplaced = false
            condition = .absent
            return true
        }
        guard leases.contains(found.lease) else {
            isDisplaced = true
            phase = .refused
            return false
        }
        // Its own: the answer to the last write was lost.
        isDisplaced = false
        condition = .unchangedSince(found.revision)
        return true
    }
}
