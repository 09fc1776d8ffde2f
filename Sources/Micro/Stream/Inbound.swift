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
    private let channel: InboundChannel<Message>
    private let head: StreamHead
    private let lifetime: StreamLifetime?

    init(
        _ channel: InboundChannel<Message>, head: StreamHead,
        lifetime: StreamLifetime? = nil
    ) {
        self.channel = channel
        self.head = head
        self.lifetime = lifetime
    }

    /// Whether somebody has begun to take messages.
    var isUsed: Bool { channel.isUsed }
    /// Whether all of them were taken.
    var isAtEnd: Bool { channel.isAtEnd }

    /// Whether the message that was taken last came compressed.
    public var wasCompressed: Bool { channel.wasCompressed }

    /// What came along with the messages, before the first: for a client the headers of the answer,
    /// which it waits for; for a handler what ``Context/metadata`` has, too.
    ///
    /// - Throws: What ended the stream before it came; `CancellationError`.
    public func metadata() async throws -> Metadata { try await head.metadata() }

    /// What came behind the last message; empty as long as the end has not come.
    public var trailers: Metadata { head.trailers }

    /// Takes the messages.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let channel: InboundChannel<Message>
        fileprivate let lifetime: StreamLifetime?

        /// The next message; nil at the end.
        public mutating func next() async throws -> Message? { try await channel.next() }
    }

    /// Goes on where the last one has stopped.
    public func makeAsyncIterator() -> Iterator {
        Iterator(channel: channel, lifetime: lifetime)
    }
}

/// Ends a stream when nobody can take its messages any more.
final class StreamLifetime: Sendable {
    private let end: @Sendable () -> Void
    init(_ end: @escaping @Sendable () -> Void) { self.end = end }
    deinit { end() }
}
