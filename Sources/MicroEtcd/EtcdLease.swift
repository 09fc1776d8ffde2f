/// A time to live that keys share: when it ends, so do they.
public struct EtcdLease: Sendable, Hashable {
    /// Its number, never 0.
    public var id: Int64
    /// The time to live, in seconds: etcd gives no less than it takes to elect a leader, 2 s as a
    /// rule.
    public var seconds: Int64
}

/// What is left of a lease.
public struct EtcdLeaseStatus: Sendable, Hashable {
    /// The time to live that it was made with, in seconds.
    public var grantedSeconds: Int64
    /// What is left of it, in seconds.
    public var remainingSeconds: Int64
    /// The keys that end with it, without the client's prefix.
    public var keys: [[UInt8]]
}
