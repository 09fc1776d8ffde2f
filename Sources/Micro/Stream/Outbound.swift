/// The way to send messages on a stream. Any number of tasks may send at once.
public struct Outbound<Message: Sendable>: Sendable {
    @usableFromInline let channel: OutboundChannel
    @usableFromInline let encode: @Sendable (Message) throws -> [UInt8]
    @usableFromInline let compression: @Sendable () -> Compression

    init(
        _ channel: OutboundChannel, compression: @escaping @Sendable () -> Compression,
        encode: @escaping @Sendable (Message) throws -> [UInt8]
    ) {
        self.channel = channel
        self.encode = encode
        self.compression = compression
    }

    /// Sends one message; waits while the other side is slow. When it throws, nothing was sent.
    ///
    /// - Parameter compression: Whether this message is compressed; nil: as the call says. A client
    ///   uses the coding of its call; replies over plain HTTP are compressed as a whole, as the
    ///   context of the call says before the first.
    /// - Throws: ``MicroError``: what ended the stream, `failedPrecondition` after ``finish()``,
    ///   `resourceExhausted` for a message beyond the limit. `CancellationError` when the task is
    ///   cancelled while it waits.
    @inlinable
    nonisolated(nonsending) public func send(_ message: Message, compression: Compression? = nil)
        async throws
    {
        let bytes = try encode(message)
        let compression = compression ?? self.compression()
        try await channel.send(bytes, compression.flags(for: bytes))
    }

    /// Says that no message follows. A client's stream of requests ends with it; replies go on. In
    /// a handler the caller sees the end when the handler returns.
    nonisolated(nonsending) public func finish() async throws { try await channel.finish() }

    /// Sends the reply's metadata now, and not only with the first message: for a caller that waits
    /// for it before it sends. In a client it does nothing, since the request's are sent at once.
    nonisolated(nonsending) public func sendMetadata() async throws { try await channel.sendHead() }
}
