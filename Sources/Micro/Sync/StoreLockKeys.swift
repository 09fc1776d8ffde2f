/// Where a lock is in a store: its record, the tickets of who waits, and the last ticket's number.
///
/// The length stands before the name, so that no name is the beginning of another's keys.
struct StoreLockKeys {
    let name: String
    /// What all of them begin with.
    let prefix: String

    init(_ name: String) {
        self.name = name
        self.prefix = "sync/\(name.utf8.count)/\(name)/"
    }

    var lock: String { prefix + "lock" }
    var lastTicket: String { prefix + "last" }
    var tickets: String { prefix + "queue/" }

    /// Numbers that sort as they count.
    func ticket(_ number: UInt64) -> String {
        let digits = String(number)
        return tickets + String(repeating: "0", count: max(0, 20 - digits.utf8.count)) + digits
    }
}

/// What is kept of who holds a lock.
struct StoreLockRecord: Codable, Sendable {
    /// See ``Lease/owner``.
    var owner: String
    /// nil: the version of the record, which is the one that the lock was taken with.
    var token: UInt64?
    /// See ``LeaseHolder/label``.
    var label: String
}
