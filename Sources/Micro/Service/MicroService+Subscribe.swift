extension MicroService {
    /// Handles the messages of some topics.
    ///
    /// - Parameters:
    ///   - pattern: A topic, or several: `*` stands for one part, `>` for the rest.
    ///   - group: Each message goes to one member of the group; nil: to this subscriber too.
    ///   - options: Concurrency, deliveries, backoff.
    ///   - handler: Returning acknowledges. Throwing retries with backoff, and after the last
    ///     delivery makes the message a dead letter.
    public func subscribe<Value: Decodable & Sendable>(
        _ pattern: String, group: String? = nil,
        options: SubscriptionOptions = SubscriptionOptions(),
        _ handler: @escaping @Sendable (Value, Context) async throws -> Void
    ) {
        record(
            RecordedSubscription(
                pattern, group: group, options: options,
                reading: { CodableCoding<Value>($0.codecs) }, handler))
    }

    /// Handles the messages of some topics, read by `reader`. For the rest see the `subscribe` of
    /// `Codable` types.
    public func subscribe<Reader: MessageReading>(
        _ pattern: String, reading reader: Reader, group: String? = nil,
        options: SubscriptionOptions = SubscriptionOptions(),
        _ handler: @escaping @Sendable (Reader.Message, Context) async throws -> Void
    ) {
        record(
            RecordedSubscription(
                pattern, group: group, options: options, reading: { _ in reader }, handler))
    }
}
