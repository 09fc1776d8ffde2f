internal import Synchronization

/// The nodes of a service as they change: only the newest state waits for a slow consumer.
///
/// It ends when the resolver is closed, when the task that waits on it is cancelled, or with
/// ``cancel()``. It is for one consumer.
public struct ResolverUpdates: AsyncSequence, Sendable {
    private let storage: Storage

    /// Where a resolver puts the states in.
    public struct Source: Sendable {
        fileprivate let storage: Weak

        /// Puts in a newer state. Ignored after the end, and when its revision is not higher than
        /// the last one's: so states may be sent from several threads.
        public func send(_ resolution: Resolution) { storage.value?.send(resolution) }

        /// Ends the sequence; a state that waits is still given out.
        public func finish() { storage.value?.finish() }
    }

    /// Updates and where to put them in. The source does not keep the sequence alive.
    ///
    /// - Parameter onEnd: Called once, when the consumer has cancelled or dropped it; not after
    ///   ``Source/finish()``.
    public static func make(
        onEnd: @escaping @Sendable () -> Void = {}
    ) -> (updates: ResolverUpdates, source: Source) {
        let storage = Storage(onEnd: onEnd)
        return (ResolverUpdates(storage: storage), Source(storage: Weak(storage)))
    }

    /// Ends the sequence. Idempotent, any thread.
    public func cancel() { storage.cancel() }

    /// A consumer of the states.
    public func makeAsyncIterator() -> Iterator { Iterator(storage: storage) }

    /// A consumer of the states.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let storage: Storage

        /// The newest state that was not given out yet; nil at the end. Cancelling the task ends
        /// the sequence.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(Never) -> Resolution? {
            await storage.next(isolation: actor)
        }

        /// The newest state that was not given out yet; nil at the end.
        public mutating func next() async -> Resolution? { await storage.next(isolation: nil) }
    }

    fileprivate struct Weak: Sendable {
        weak let value: Storage?
        init(_ value: Storage) { self.value = value }
    }

    fileprivate final class Storage: Sendable {
        private let state = Mutex(State())
        private let onEnd: @Sendable () -> Void

        private struct State {
            var pending: Resolution?
            var revision: UInt64?
            var waiters: [CheckedContinuation<Resolution?, Never>] = []
            var isFinished = false
        }

        init(onEnd: @escaping @Sendable () -> Void) { self.onEnd = onEnd }

        deinit { cancel() }

        func send(_ resolution: Resolution) {
            let waiter = state.withLock { state -> CheckedContinuation<Resolution?, Never>? in
                if let last = state.revision, resolution.revision <= last { return nil }
                guard !state.isFinished else { return nil }
                state.revision = resolution.revision
                if !state.waiters.isEmpty { return state.waiters.removeFirst() }
                state.pending = resolution
                return nil
            }
            waiter?.resume(returning: resolution)
        }

        func finish() { end(keepingPending: true) }

        func cancel() {
            if end(keepingPending: false) { onEnd() }
        }

        /// - Returns: Whether this call ended it.
        @discardableResult
        private func end(keepingPending: Bool) -> Bool {
            let (waiters, isFirst) = state.withLock { state in
                defer {
                    state.isFinished = true
                    state.waiters = []
                    if !keepingPending { state.pending = nil }
                }
                return (state.waiters, !state.isFinished)
            }
            for waiter in waiters { waiter.resume(returning: nil) }
            return isFirst
        }

        func next(isolation actor: isolated (any Actor)?) async -> Resolution? {
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let answer: Resolution?? = state.withLock { state in
                        if let pending = state.pending.take() { return .some(pending) }
                        if state.isFinished { return .some(nil) }
                        state.waiters.append(continuation)
                        return nil
                    }
                    if let answer { continuation.resume(returning: answer) }
                }
            } onCancel: {
                cancel()
            }
        }
    }
}
