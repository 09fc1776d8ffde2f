internal import Micro
internal import SwiftProtobuf

extension EtcdClient {
    /// Makes a lease.
    ///
    /// - Parameters:
    ///   - seconds: Its time to live; etcd gives more when that is very little.
    ///   - id: Its number; 0: etcd chooses.
    /// - Throws: ``MicroError``. When the answer is lost, the lease ends by itself.
    public func grantLease(seconds: Int64, id: Int64 = 0) async throws -> EtcdLease {
        let request = Etcdserverpb_LeaseGrantRequest.with {
            $0.ttl = seconds
            $0.id = id
        }
        let lease = try await ask("etcd.grantLease", leases.leaseGrant, request)
        guard lease.error.isEmpty, lease.id != 0 else {
            throw MicroError(
                "etcd.grantLease", .unavailable, "\(options.place): no lease: \(lease.error)")
        }
        return EtcdLease(id: lease.id, seconds: lease.ttl)
    }

    /// Ends a lease, and its keys with it, in one step.
    ///
    /// - Returns: false when there was no such lease any more.
    /// - Throws: ``MicroError``.
    @discardableResult
    public func revokeLease(_ id: Int64) async throws -> Bool {
        do {
            _ = try await ask(
                "etcd.revokeLease", leases.leaseRevoke, .with { $0.id = id }, isRead: true)
            return true
        } catch let error as MicroError where error.reason == EtcdReason.leaseNotFound {
            return false
        }
    }

    /// What is left of a lease; nil when there is none.
    ///
    /// - Throws: ``MicroError``.
    public func timeToLive(
        ofLease id: Int64, withKeys: Bool = false
    ) async throws -> EtcdLeaseStatus? {
        let request = Etcdserverpb_LeaseTimeToLiveRequest.with {
            $0.id = id
            $0.keys = withKeys
        }
        let answer: Etcdserverpb_LeaseTimeToLiveResponse
        do {
            answer = try await ask(
                "etcd.timeToLive", leases.leaseTimeToLive, request, isRead: true)
        } catch let error as MicroError where error.reason == EtcdReason.leaseNotFound {
            return nil
        }
        guard answer.ttl >= 0 else { return nil }
        return EtcdLeaseStatus(
            grantedSeconds: answer.grantedTtl, remainingSeconds: answer.ttl,
            keys: answer.keys.map { [UInt8]($0.dropFirst(prefix.count)) })
    }
}
