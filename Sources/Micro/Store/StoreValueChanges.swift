/// A change of a value.
public struct StoreValueChange<Value: Sendable>: Sendable {
    /// What happened.
    public enum Kind: Sendable {
        /// The value was written.
        case written(StoredValue<Value>)
        /// The record was deleted.
        case deleted
        /// The record's time was over.
        case expired
    }

    /// The key.
    public var key: String

    /// The revision of the commit.
    public var revision: UInt64

    /// What happened.
    public var kind: Kind

    /// The value that is there now; nil when there is none any more.
    public var value: Value? {
        guard case .written(let stored) = kind else { return nil }
        return stored.value
    }
}

/// The changes of values as they happen. See ``StoreChanges``.
public struct StoreValueChanges<Value: Sendable>: AsyncSequence, Sendable {
    private let changes: StoreChanges
    private let read: @Sendable (StoreRecord) throws -> StoredValue<Value>

    init<Reader: MessageReading>(
        changes: StoreChanges, reading reader: Reader
    ) where Reader.Message == Value {
        self.changes = changes
        self.read = { try $0.read(with: reader) }
    }

    /// The changes. All iterators share them.
    public func makeAsyncIterator() -> Iterator { Iterator(changes: changes, read: read) }

    /// Iterates changes.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        fileprivate let changes: StoreChanges
        fileprivate let read: @Sendable (StoreRecord) throws -> StoredValue<Value>

        /// The next change; nil when the store is closed.
        ///
        /// - Throws: As ``StoreChanges/next()``; ``MicroError``, `dataLoss`, for a value that can't
        ///   be decoded: the next call goes on behind it.
        public mutating func next() async throws -> StoreValueChange<Value>? {
            guard let change = try await changes.next() else { return nil }
            let kind: StoreValueChange<Value>.Kind =
                switch change.kind {
                case .written(let record): .written(try read(record))
                case .deleted: .deleted
                case .expired: .expired
                }
            return StoreValueChange(key: change.key, revision: change.revision, kind: kind)
        }
    }
}
