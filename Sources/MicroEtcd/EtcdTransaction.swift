/// What a transaction asks of a key. A key that does not exist has the revisions 0, the lease 0 and
/// no value to compare.
public struct EtcdComparison: Sendable, Hashable {
    enum Subject: Sendable, Hashable {
        case createRevision(Int64)
        case modRevision(Int64)
        case value([UInt8])
        case lease(Int64)
    }

    let key: [UInt8]
    let subject: Subject

    /// The key does not exist.
    public static func isAbsent(_ key: String) -> EtcdComparison {
        EtcdComparison(key: Array(key.utf8), subject: .createRevision(0))
    }

    /// The key was written last by this revision.
    public static func modRevision(of key: String, is revision: Int64) -> EtcdComparison {
        EtcdComparison(key: Array(key.utf8), subject: .modRevision(revision))
    }

    /// The key was made by this revision.
    public static func createRevision(of key: String, is revision: Int64) -> EtcdComparison {
        EtcdComparison(key: Array(key.utf8), subject: .createRevision(revision))
    }

    /// The key exists and holds this.
    public static func value(of key: String, is value: [UInt8]) -> EtcdComparison {
        EtcdComparison(key: Array(key.utf8), subject: .value(value))
    }

    /// The key ends with this lease.
    public static func lease(of key: String, is lease: Int64) -> EtcdComparison {
        EtcdComparison(key: Array(key.utf8), subject: .lease(lease))
    }
}

/// What a transaction does.
public enum EtcdOperation: Sendable, Hashable {
    /// Reads keys.
    case get(EtcdKeyRange)
    /// Writes a key, which ends with the lease unless that is 0.
    case put(key: String, value: [UInt8], lease: Int64 = 0)
    /// Deletes keys.
    case delete(EtcdKeyRange)
}

/// What became of an operation of a transaction.
public enum EtcdOperationResult: Sendable, Hashable {
    /// The keys that were read, in their order.
    case got([EtcdKeyValue])
    /// The key was written.
    case put
    /// So many keys were deleted.
    case deleted(Int64)

    init?(_ wire: Etcdserverpb_ResponseOp, prefixBytes: Int) {
        switch wire.response {
        case .responseRange(let range):
            self = .got(range.kvs.map { EtcdKeyValue($0, prefixBytes: prefixBytes) })
        case .responsePut: self = .put
        case .responseDeleteRange(let deletion): self = .deleted(deletion.deleted)
        case nil: return nil
        }
    }
}

/// What became of a transaction.
public struct EtcdTransactionAnswer: Sendable, Hashable {
    /// Its revision is the one of what was written.
    public var header: EtcdHeader
    /// Whether all comparisons were true.
    public var isSuccessful: Bool
    /// Of the operations that were done, in their order.
    public var results: [EtcdOperationResult]
}
