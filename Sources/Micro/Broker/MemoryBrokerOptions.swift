/// Limits of a ``MemoryBroker``.
public struct MemoryBrokerOptions: Sendable, Hashable {
    /// The largest message, in bytes: body, key, id and content type; headers have a limit of their
    /// own. Default 1 MiB.
    public var maxMessageBytes: Int

    /// How many delayed messages may wait for their time. Default 10,000.
    public var maxScheduled: Int

    /// How many publishers may wait for room at a time. Default 10,000.
    public var maxPublishers: Int

    /// How much metadata a message may have.
    public var headers: Metadata.Limits

    /// Makes limits.
    public init(
        maxMessageBytes: Int = 1 << 20, maxScheduled: Int = 10_000, maxPublishers: Int = 10_000,
        headers: Metadata.Limits = Metadata.Limits()
    ) {
        self.maxMessageBytes = maxMessageBytes
        self.maxScheduled = maxScheduled
        self.maxPublishers = maxPublishers
        self.headers = headers
    }
}
