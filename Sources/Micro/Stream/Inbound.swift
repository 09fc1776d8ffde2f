/// The messages that the other side of a stream sends, in order.
///
/// Single-pass: each message is taken once, by one task at a time. A message that nobody takes
/// stays with its sender, which has to wait: what is held is at most the stream's window and one
/// message.
///
/// Iterating throws what ended the stream early: the service's ``MicroError`` in a client; in a
/// handler `cancelled` when the caller went away, or `invalidArgument` when a message can't be
/// read; `CancellationError` when the task is cancelled.
public struct Inbound<Message: Sendable>: AsyncSequence, Sendable {
    private let queue: InboundQueue
    private let decode: @Sendable (RawSpan) throws -> Message
    private let head: StreamHead
    private let lifetime: StreamLifetime?

    init(
        _ channel: InboundChannel<Message>, head: StreamHead,
        lifetime: StreamLifetime? = nil
    ) {
        queue = channel.queue
        decode = channel.decode
        self.head = head
        self.lifetime = lifetime
    }

    /// Whether somebody has begun to take messages.
    var isUsed: Bool { queue.isUsed }
    /// Whether all of them were taken.
    var isAtEnd: Bool { queue.isAtEnd }

    /// Whether the message that was taken last came compressed.
    public var wasCompressed: Bool { queue.wasCompressed }

    /// What came along with the messages, before the first: for a client the headers of the answer,
    /// which it waits for; for a handler what ``Context/metadata`` has, too.
    ///
    /// - Throws: What ended the stream before it came; `CancellationError`.
    public func metadata() async throws -> Metadata { try await head.metadata() }

    /// What came behind the last message; empty as long as the end has not come.
    public var trailers: Metadata { head.trailers }

    /// Takes the messages.
    public struct Iterator: AsyncIteratorProtocol {
        @usableFromInline let queue: InboundQueue
        @usableFromInline let decode: @Sendable (RawSpan) throws -> Message
        fileprivate let lifetime: StreamLifetime?

        /// The next message; nil at the end.
        @inlinable
        nonisolated(nonsending) public mutating func next() async throws -> Message? {
            guard let bytes = try await queue.next() else { return nil }
            return try read(bytes)
        }

        /// The next message; nil at the end.
        @inlinable
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws -> Message? {
            guard let bytes = try await queue.next() else { return nil }
            return try read(bytes)
        }

        @inlinable
        func read(_ bytes: [UInt8]) throws -> Message {
            do {
                return try decode(bytes.span.bytes)
            } catch {
                queue.refuse(error)
                throw error
            }
        }
    }

    /// Goes on where the last one has stopped.
    public func makeAsyncIterator() -> Iterator {
        Iterator(queue: queue, decode: decode, lifetime: lifetime)
    }
}

/// Ends a stream when nobody can take its messages any more.
final class StreamLifetime: Sendable {
    private let end: @Sendable () -> Void
    init(_ end: @escaping @Sendable () -> Void) { self.end = end }
    deinit { end() }
}
