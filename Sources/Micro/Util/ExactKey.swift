/// A string compared byte by byte, as SQLite and etcd compare it, and not by canonical equivalence
/// as Swift does: two spellings of "é" are two keys, and keys sort by their UTF-8.
struct ExactKey: Hashable, Comparable, Sendable {
    let string: String

    init(_ string: String) { self.string = string }

    static func == (lhs: ExactKey, rhs: ExactKey) -> Bool {
        lhs.string == rhs.string && lhs.string.utf8.elementsEqual(rhs.string.utf8)
    }

    // Equal bytes are canonically equivalent, so Swift's own hash fits.
    func hash(into hasher: inout Hasher) { hasher.combine(string) }

    static func < (lhs: ExactKey, rhs: ExactKey) -> Bool {
        lhs.string.utf8.lexicographicallyPrecedes(rhs.string.utf8)
    }
}

extension String {
    /// Whether the UTF-8 begins with that of `prefix`.
    func hasExactPrefix(_ prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }

    /// Whether the UTF-8 ends with that of `suffix`.
    func hasExactSuffix(_ suffix: String) -> Bool {
        utf8.reversed().starts(with: suffix.utf8.reversed())
    }
}
