/// One change of one key.
public struct StoreChange: Sendable, Hashable {
    /// What happened.
    public enum Kind: Sendable, Hashable {
        /// The record was written. Its time to live is counted from the change.
        case written(StoreRecord)
        /// The record was deleted.
        case deleted
        /// The record's time was over.
        case expired
    }

    /// The key.
    public var key: String

    /// The revision of the commit. The changes of one commit have the same.
    public var revision: UInt64

    /// What happened.
    public var kind: Kind

    /// Makes a change: for those who implement ``Store``.
    public init(key: String, revision: UInt64, kind: Kind) {
        self.key = key
        self.revision = revision
        self.kind = kind
    }
}
