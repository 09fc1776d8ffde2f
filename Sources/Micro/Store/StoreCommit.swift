/// What came of a batch.
public struct StoreCommit: Sendable, Hashable {
    /// The revision of the commit, which is the version of the records written. When the batch
    /// changed nothing, that of the last commit that did.
    public var revision: UInt64

    /// How many records were deleted.
    public var deleted: Int

    /// Makes a result: for those who implement ``Store``.
    public init(revision: UInt64, deleted: Int) {
        self.revision = revision
        self.deleted = deleted
    }
}
