/// The changes of a store as they happen: a single-pass sequence in the order of the revisions.
///
/// Nothing is left out: a consumer that falls so far behind that the store has forgotten what comes
/// next gets an error, `outOfRange` with reason `CHANGES_COMPACTED`. The sequence ends when the
/// store closes. It's for one consumer.
public struct StoreChanges: AsyncSequence, Sendable {
    private let watch: Watch

    /// Makes a sequence: for those who implement ``Store``.
    public init(source: any StoreChangeSource) { self.watch = Watch(source) }

    /// The next change; nil when the store is closed.
    ///
    /// - Throws: ``MicroError`` as above; `CancellationError`, after which the sequence can be gone
    ///   on with.
    public func next() async throws -> StoreChange? { try await watch.source.next() }

    /// The changes. All iterators share them.
    public func makeAsyncIterator() -> Iterator { Iterator(changes: self) }

    /// Iterates changes.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        fileprivate let changes: StoreChanges

        /// The next change; as ``StoreChanges/next()``.
        public mutating func next() async throws -> StoreChange? { try await changes.next() }
    }

    /// Ends the watch with the last copy.
    private final class Watch: Sendable {
        let source: any StoreChangeSource
        init(_ source: any StoreChangeSource) { self.source = source }
        deinit { source.abandon() }
    }
}

/// The store's side of a watch: for those who implement ``Store``.
public protocol StoreChangeSource: Sendable {
    /// As ``StoreChanges/next()``.
    func next() async throws -> StoreChange?

    /// Nobody watches any more. Must return at once.
    func abandon()
}
