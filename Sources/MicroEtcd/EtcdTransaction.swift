internal import SwiftProtobuf

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

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

    func wire(under prefix: [UInt8]) -> Etcdserverpb_Compare {
        .with {
            $0.result = .equal
            $0.key = Data(prefix + key)
            switch subject {
            case .createRevision(let revision):
                $0.target = .create
                $0.createRevision = revision
            case .modRevision(let revision):
                $0.target = .mod
                $0.modRevision = revision
            case .value(let value):
                $0.target = .value
                $0.value = Data(value)
            case .lease(let lease):
                $0.target = .lease
                $0.lease = lease
            }
        }
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

    func wire(under prefix: [UInt8]) -> Etcdserverpb_RequestOp {
        .with {
            switch self {
            case .get(let range):
                let (key, end) = range.absolute(under: prefix)
                $0.requestRange = .with {
                    $0.key = Data(key)
                    $0.rangeEnd = Data(end)
                }
            case .put(let key, let value, let lease):
                $0.requestPut = .with {
                    $0.key = Data(prefix + key.utf8)
                    $0.value = Data(value)
                    $0.lease = lease
                }
            case .delete(let range):
                let (key, end) = range.absolute(under: prefix)
                $0.requestDeleteRange = .with {
                    $0.key = Data(key)
                    $0.rangeEnd = Data(end)
                }
            }
        }
    }
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
