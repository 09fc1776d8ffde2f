/// A string compared byte by byte, as SQLite and etcd compare it, and not by canonical equivalence
/// as Swift does: two spellings of "é" are two keys, and keys sort by their UTF-8.
struct ExactKey: Hashable, Comparable, Sendable {
    let string: String

    init(_ string: String) { self.string = string }

    static func == (lhs: ExactKey, rhs: ExactKey) -> Bool { lhs.string.hasBytes(of: rhs.string) }

    // Equal bytes are canonically equivalent, so Swift's own hash fits.
    func hash(into hasher: inout Hasher) { hasher.combine(string) }

    static func < (lhs: ExactKey, rhs: ExactKey) -> Bool {
        lhs.string.precedesInBytes(rhs.string)
    }
}
