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
public struct StoreValueChanges<Value: Decodable & Sendable>: AsyncSequence, Sendable {
    let changes: StoreChanges
    let codecs: Codecs

    /// The changes. All iterators share them.
    public func makeAsyncIterator() -> Iterator { Iterator(changes: changes, codecs: codecs) }

    /// Iterates changes.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        let changes: StoreChanges
        let codecs: Codecs

        /// The next change; nil when the store is closed.
        ///
        /// - Throws: As ``StoreChanges/next()``; ``MicroError``, `dataLoss`, for a value that can't
        ///   be decoded: the next call goes on behind it.
        public mutating func next() async throws -> StoreValueChange<Value>? {
            guard let change = try await changes.next() else { return nil }
            let kind: StoreValueChange<Value>.Kind =
                switch change.kind {
                case .written(let record): .written(try record.decode(Value.self, with: codecs))
                case .deleted: .deleted
                case .expired: .expired
                }
            return StoreValueChange(key: change.key, revision: change.revision, kind: kind)
        }
    }
}
