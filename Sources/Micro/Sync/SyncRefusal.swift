/// Why locks refuse: the same errors from all implementations. For those who implement ``Sync``.
package enum SyncRefusal {
    package static let lostReason = "LEASE_LOST"

    package static var closed: MicroError {
        .unavailable("sync.acquire", "the locks are closed", reason: "SYNC_CLOSED")
    }

    package static func timeout(_ name: String) -> MicroError {
        .timeout(
            "sync.acquire", "somebody else holds \"\(name)\", and did not release it in time",
            reason: "LOCK_TIMEOUT", metadata: ["lock": name])
    }

    package static func lost(_ lease: Lease) -> MicroError {
        .failedPrecondition(
            "sync.lease",
            "the lease of \"\(lease.name)\" with token \(lease.token) is not held any more",
            reason: lostReason, metadata: ["lock": lease.name, "token": String(lease.token)])
    }

    package static func tooManyWait(_ name: String, _ waiters: Int, limit: Int) -> MicroError {
        .resourceExhausted(
            "sync.acquire",
            "\(waiters) wait for \"\(name)\" already, and maxWaiters is \(limit)",
            reason: "TOO_MANY_WAITERS")
    }

    /// - Throws: ``MicroError``, `invalidArgument`: the name or the time to live is out of range.
    package static func check(_ name: String, ttl: Duration) throws(MicroError) {
        try check(name)
        guard ttl >= .milliseconds(10) else {
            throw .invalid("sync.acquire", "ttl is \(ttl): it must be 10 ms or more", at: "ttl")
        }
    }

    /// - Throws: ``MicroError``, `invalidArgument`: the name is out of range.
    package static func check(_ name: String) throws(MicroError) {
        guard (1...512).contains(name.utf8.count) else {
            throw .invalid(
                "sync.acquire",
                "the name of the lock has \(name.utf8.count) bytes: it must have 1 to 512",
                at: "name")
        }
        guard !name.utf8.contains(0) else {
            throw .invalid("sync.acquire", "the name of the lock has a NUL", at: "name")
        }
    }
}
