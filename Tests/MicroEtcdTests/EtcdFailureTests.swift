import Micro
import Testing

@testable import MicroEtcd

@Suite struct EtcdFailureTests {
    private func explain(_ code: MicroError.Code, _ text: String) -> MicroError {
        EtcdFailure.explain(
            MicroError("etcd/etcdserverpb.KV/Range", code, text, wasWritten: true), "etcd.get",
            at: "etcd at h:1")
    }

    @Test(arguments: [
        (
            MicroError.Code.outOfRange, "etcdserver: mvcc: required revision has been compacted",
            MicroError.Code.outOfRange, EtcdReason.compacted
        ),
        (.notFound, "etcdserver: requested lease not found", .notFound, EtcdReason.leaseNotFound),
        (.unavailable, "etcdserver: no leader", .unavailable, EtcdReason.noLeader),
        (
            .permissionDenied, "etcdserver: permission denied", .permissionDenied,
            EtcdReason.permissionDenied
        ),
        (
            .unauthenticated, "etcdserver: invalid auth token", .unauthenticated,
            EtcdReason.invalidToken
        ),
        (
            .invalidArgument, "etcdserver: user name is empty", .unauthenticated,
            EtcdReason.userRequired
        ),
        (
            .invalidArgument, "etcdserver: authentication failed, invalid user ID or password",
            .unauthenticated, EtcdReason.wrongPassword
        ),
        (
            .resourceExhausted, "etcdserver: mvcc: database space exceeded", .resourceExhausted,
            EtcdReason.noSpace
        ),
        (.unavailable, "etcdserver: request timed out", .unavailable, EtcdReason.timedOut),
        (.aborted, "etcdserver: something new", .aborted, ""),
        (.unavailable, "connection refused", .unavailable, ""),
    ])
    func whatEtcdSays(
        _ code: MicroError.Code, _ text: String, _ expected: MicroError.Code, _ reason: String
    ) {
        let error = explain(code, text)
        #expect(error.id == "etcd.get")
        #expect(error.code == expected)
        #expect(error.reason == reason)
        #expect(error.detail.hasPrefix("etcd at h:1: "))
        #expect(!error.detail.contains("etcdserver"))
        #expect(error.wasWritten)
    }

    @Test func errorsOfOthersPass() {
        let error = MicroError("register.etcd", .alreadyExists, "etcdserver: no leader")
        #expect(EtcdFailure.explain(error, "etcd.watch", at: "x") == error)
    }

    @Test func endsOfWatches() {
        let compacted = EtcdFailure.ofWatch("", compactRevision: 7, at: "etcd at h:1")
        #expect(compacted.reason == EtcdReason.compacted)
        #expect(compacted.code == .outOfRange)
        #expect(compacted.metadata["compact_revision"] == "7")
        let denied = EtcdFailure.ofWatch(
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
            compactRevision: 0, at: "etcd at h:1")
        #expect(denied.code == .permissionDenied)
        #expect(denied.reason == EtcdReason.permissionDenied)
        #expect(EtcdFailure.ofWatch("", compactRevision: 0, at: "x").code == .unavailable)
    }
}
