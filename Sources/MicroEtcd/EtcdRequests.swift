#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

// Requests as etcd takes them, with the client's prefix before all keys.

extension Etcdserverpb_RangeRequest {
    init(_ range: EtcdKeyRange, under prefix: [UInt8]) {
        (key, rangeEnd) = range.wire(under: prefix)
    }
}

extension Etcdserverpb_PutRequest {
    init(_ key: String, _ value: [UInt8], lease: Int64, under prefix: [UInt8]) {
        self.key = Data(prefix + key.utf8)
        self.value = Data(value)
        self.lease = lease
    }
}

extension Etcdserverpb_DeleteRangeRequest {
    init(_ range: EtcdKeyRange, under prefix: [UInt8]) {
        (key, rangeEnd) = range.wire(under: prefix)
    }
}

extension Etcdserverpb_WatchCreateRequest {
    init(_ range: EtcdKeyRange, under prefix: [UInt8]) {
        (key, rangeEnd) = range.wire(under: prefix)
    }
}

extension Etcdserverpb_Compare {
    init(_ comparison: EtcdComparison, under prefix: [UInt8]) {
        result = .equal
        key = Data(prefix + comparison.key)
        switch comparison.subject {
        case .createRevision(let revision):
            target = .create
            createRevision = revision
        case .modRevision(let revision):
            target = .mod
            modRevision = revision
        case .value(let value):
            target = .value
            self.value = Data(value)
        case .lease(let lease):
            target = .lease
            self.lease = lease
        }
    }
}

extension Etcdserverpb_RequestOp {
    init(_ operation: EtcdOperation, under prefix: [UInt8]) {
        switch operation {
        case .get(let range): requestRange = Etcdserverpb_RangeRequest(range, under: prefix)
        case .put(let key, let value, let lease):
            requestPut = Etcdserverpb_PutRequest(key, value, lease: lease, under: prefix)
        case .delete(let range):
            requestDeleteRange = Etcdserverpb_DeleteRangeRequest(range, under: prefix)
        }
    }
}

extension EtcdKeyRange {
    fileprivate func wire(under prefix: [UInt8]) -> (key: Data, end: Data) {
        let (key, end) = absolute(under: prefix)
        return (Data(key), Data(end))
    }
}
