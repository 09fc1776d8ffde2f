/// A key of etcd, with what it holds.
public struct EtcdKeyValue: Sendable, Hashable {
    /// Without the client's prefix.
    public var key: [UInt8]
    /// What it holds.
    public var value: [UInt8]
    /// The revision that made it.
    public var createRevision: Int64
    /// The revision that wrote it last.
    public var modRevision: Int64
    /// How often it was written since it was made.
    public var version: Int64
    /// The lease that it ends with; 0 for none.
    public var lease: Int64

    init(_ wire: Mvccpb_KeyValue, prefixBytes: Int) {
        key = [UInt8](wire.key.dropFirst(prefixBytes))
        value = [UInt8](wire.value)
        createRevision = wire.createRevision
        modRevision = wire.modRevision
        version = wire.version
        lease = wire.lease
    }

    /// - Parameters:
    ///   - key: Without the client's prefix.
    ///   - value: What it holds.
    ///   - createRevision: The revision that made it.
    ///   - modRevision: The revision that wrote it last.
    ///   - version: How often it was written.
    ///   - lease: The lease that it ends with.
    public init(
        key: [UInt8], value: [UInt8], createRevision: Int64 = 0, modRevision: Int64 = 0,
        version: Int64 = 1, lease: Int64 = 0
    ) {
        self.key = key
        self.value = value
        self.createRevision = createRevision
        self.modRevision = modRevision
        self.version = version
        self.lease = lease
    }
}

/// Which etcd has answered, and how far it was.
public struct EtcdHeader: Sendable, Hashable {
    /// The cluster. It is made of the members' addresses: one that has lost its data may have the
    /// same.
    public var clusterID: UInt64
    /// The member.
    public var memberID: UInt64
    /// The revision of the store when it answered; of a write, the one that it made.
    public var revision: Int64
    /// Grows with each election.
    public var raftTerm: UInt64

    init(_ wire: Etcdserverpb_ResponseHeader) {
        self.init(
            clusterID: wire.clusterID, memberID: wire.memberID, revision: wire.revision,
            raftTerm: wire.raftTerm)
    }

    /// - Parameters:
    ///   - clusterID: The cluster.
    ///   - memberID: The member.
    ///   - revision: How far it was.
    ///   - raftTerm: Grows with each election.
    public init(
        clusterID: UInt64 = 0, memberID: UInt64 = 0, revision: Int64, raftTerm: UInt64 = 0
    ) {
        self.clusterID = clusterID
        self.memberID = memberID
        self.revision = revision
        self.raftTerm = raftTerm
    }
}

/// What was found in a range.
public struct EtcdRangeAnswer: Sendable, Hashable {
    /// Which etcd has answered, and how far it was.
    public var header: EtcdHeader
    /// In the order of their keys.
    public var keyValues: [EtcdKeyValue]
    /// Whether the limit left some out.
    public var hasMore: Bool
    /// How many there are in the range, those that were left out included.
    public var count: Int64
}

/// How a member is.
public struct EtcdStatus: Sendable, Hashable {
    /// Which member, and how far it is.
    public var header: EtcdHeader
    /// "3.4.23".
    public var version: String
    /// The member that leads; 0 when there is none.
    public var leader: UInt64
    /// The size of the database, in bytes.
    public var databaseBytes: Int64
    /// What it complains about: "NOSPACE".
    public var alarms: [String]
}
