/// Which keys are meant: one, or all of a range, in the order of their bytes.
public struct EtcdKeyRange: Sendable, Hashable {
    enum End: Sendable, Hashable {
        /// Only the first key.
        case one
        /// Keys before this one.
        case before([UInt8])
        /// All keys that follow.
        case open
    }

    let start: [UInt8]
    let end: End

    /// One key.
    public static func key(_ key: String) -> EtcdKeyRange { .key(Array(key.utf8)) }

    /// One key.
    public static func key(_ key: [UInt8]) -> EtcdKeyRange { EtcdKeyRange(start: key, end: .one) }

    /// All keys that begin with `prefix`; with an empty one all there are.
    public static func prefix(_ prefix: String) -> EtcdKeyRange {
        let start = Array(prefix.utf8)
        return EtcdKeyRange(start: start, end: successor(of: start).map { .before($0) } ?? .open)
    }

    /// All keys from `start` on that come before `end`.
    public static func range(from start: [UInt8], before end: [UInt8]) -> EtcdKeyRange {
        EtcdKeyRange(start: start, end: .before(end))
    }

    /// What is left of it behind a key.
    public func after(_ key: [UInt8]) -> EtcdKeyRange {
        EtcdKeyRange(start: key + [0], end: end)
    }

    /// The first key that does not begin with `prefix` and comes after those that do; nil when
    /// there is none.
    static func successor(of prefix: [UInt8]) -> [UInt8]? {
        var bytes = prefix
        while let last = bytes.popLast() {
            if last < 0xff { return bytes + [last + 1] }
        }
        return nil
    }

    /// As etcd takes it, with a prefix before all keys: the first key, and the first that is not
    /// meant, which is empty for a single key and one zero byte when there is no end.
    func absolute(under prefix: [UInt8]) -> (key: [UInt8], end: [UInt8]) {
        let first = prefix + start
        switch end {
        case .one: return (first, [])
        case .before(let end): return (first.isEmpty ? [0] : first, prefix + end)
        case .open: return (first.isEmpty ? [0] : first, Self.successor(of: prefix) ?? [0])
        }
    }
}
