/// Why stores refuse: the same errors from all of them. For those who implement ``Store``.
package enum StoreRefusal {
    package static func closed(_ id: String) -> MicroError {
        .unavailable(id, "the store is closed", reason: "STORE_CLOSED")
    }

    /// - Parameter found: The version that is there; nil: there is no record.
    package static func conflict(
        _ key: String, _ condition: WriteCondition, found: UInt64?
    ) -> MicroError {
        conflict("store.write", key, condition, found, reason: "VERSION_CONFLICT")
    }

    /// As ``conflict(_:_:found:)``, of a check.
    package static func checkConflict(
        _ key: String, _ condition: WriteCondition, found: UInt64?
    ) -> MicroError {
        conflict("store.commit", key, condition, found, reason: "READ_CONFLICT")
    }

    private static func conflict(
        _ id: String, _ key: String, _ condition: WriteCondition, _ found: UInt64?, reason: String
    ) -> MicroError {
        let wanted =
            switch condition {
            case .any: "anything"
            case .absent: "no record"
            case .version(let version): "version \(version)"
            }
        let present = found.map { "version \($0)" } ?? "no record"
        return .conflict(
            id, "\"\(key)\" has \(present), and \(wanted) was expected: read it again",
            reason: reason, metadata: ["key": key, "version": String(found ?? 0)])
    }

    package static func staleFence(_ key: String, _ fence: UInt64, seen: UInt64) -> MicroError {
        .failedPrecondition(
            "store.write",
            "\"\(key)\" was written under token \(seen), and \(fence) is older: that lease is lost",
            reason: "STALE_FENCE", metadata: ["key": key, "fence": String(seen)])
    }

    package static let fullReason = "STORE_FULL"

    package static func full(_ detail: String) -> MicroError {
        .resourceExhausted(
            "store.write", "the store is full: \(detail). Delete records, or raise the limit",
            reason: fullReason)
    }

    /// - Parameter first: The first revision whose changes are remembered.
    package static func compacted(_ start: UInt64, first: UInt64) -> MicroError {
        .outOfRange(
            "store.changes",
            "the changes of revision \(start) are forgotten; \(first) is the first that is"
                + " remembered: list the keys, and watch from now",
            reason: "CHANGES_COMPACTED", metadata: ["revision": String(first)])
    }

    package static var watchedTwice: MicroError {
        .failedPrecondition(
            "store.changes", "two tasks wait for the changes of one watch: it has one consumer")
    }
}
