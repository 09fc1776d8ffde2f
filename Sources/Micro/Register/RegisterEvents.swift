/// What a watcher of a register sees: first a snapshot, then every change in order. A register that
/// cannot be reached says so before that snapshot, or later, and goes on with a snapshot.
///
/// The queue of a watch is bounded. When its consumer is too slow, the events that wait are
/// replaced by one snapshot; nothing is lost silently and nobody waits for it. The sequence ends
/// when the register is closed, when the task that waits on it is cancelled, or with ``cancel()``;
/// it also ends when the last copy of it is gone.
///
/// It is for one consumer: two would share the events between them.
public struct RegisterEvents: AsyncSequence, Sendable {
    private let watch: RegisterFeed.Watch

    init(watch: RegisterFeed.Watch) { self.watch = watch }

    /// Ends the sequence. Idempotent, any thread.
    public func cancel() { watch.cancel() }

    /// A consumer of the events.
    public func makeAsyncIterator() -> Iterator { Iterator(watch: watch) }

    /// A consumer of the events.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let watch: RegisterFeed.Watch

        /// The next event; nil when the watch has ended. Cancelling the task ends the watch.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(Never) -> RegisterEvent? {
            await watch.next(isolation: actor)
        }

        /// The next event; nil when the watch has ended. Cancelling the task ends the watch.
        public mutating func next() async -> RegisterEvent? { await watch.next(isolation: nil) }
    }
}
