extension Broker {
    /// Publishes a value, encoded by the codec that fits its type, and waits until the broker has
    /// accepted it.
    ///
    /// - Parameters:
    ///   - value: The payload.
    ///   - topic: Where: "orders.created".
    ///   - key: Messages of one topic and key stay in order.
    ///   - headers: What goes along.
    ///   - contentType: What to encode as; nil: what the broker's codecs prefer for the type.
    ///   - delivery: When it may be delivered; `.after` delays it.
    ///   - timeout: How long to wait for room in the queues of slow subscribers. Default 5 seconds.
    /// - Throws: ``MicroError``: as ``publish(_:timeout:)``; `unsupportedMediaType` without a
    ///   codec, and what the codec throws. `CancellationError`: nothing was accepted.
    @discardableResult
    public func publish<Value: Encodable & Sendable>(
        _ value: Value, to topic: String, key: String? = nil, headers: Metadata = [:],
        contentType: ContentType? = nil, deliver delivery: DeliveryTime = .now,
        timeout: Duration = .seconds(5)
    ) async throws -> PublishReceipt {
        try await publish(
            value, writing: CodableCoding(codecs), to: topic, key: key, headers: headers,
            contentType: contentType, deliver: delivery, timeout: timeout)
    }

    /// Subscribes and decodes: a sequence of values, each to be settled by hand.
    ///
    /// A message that can't be decoded becomes a dead letter, and the sequence goes on with the
    /// next.
    /// - Parameters:
    ///   - pattern: Which topics: "orders.*", "orders.>".
    ///   - group: See ``subscribe(_:group:options:)``.
    ///   - options: See ``SubscriptionOptions``; `concurrency` is how many may be unsettled at
    ///     once.
    /// - Throws: ``MicroError``: as ``subscribe(_:group:options:)``.
    public func messages<Value: Decodable & Sendable>(
        _ pattern: String, group: String? = nil,
        options: SubscriptionOptions = SubscriptionOptions(), as type: Value.Type = Value.self
    ) async throws -> BrokerMessages<Value> {
        try await messages(
            pattern, reading: CodableCoding<Value>(codecs), group: group, options: options)
    }

    /// Subscribes and runs `handler` for each message, until the task is cancelled or the broker
    /// closes.
    ///
    /// Up to `options.concurrency` handlers run at a time. One that returns has acknowledged; one
    /// that throws gets the message again after the backoff, and after `options.maxDeliveries` it
    /// becomes a dead letter; so does, at once, one that can't be decoded. A handler that runs
    /// longer than nine tenths of `options.ackTimeout` is cancelled, which counts as a failure.
    ///
    /// Cancelling this call cancels the handlers, and their messages go back to the group. To let
    /// them finish, subscribe first, run ``Subscription/consume(as:onFailure:_:)``, and end it with
    /// ``Subscription/unsubscribe(timeout:)``.
    /// - Parameters:
    ///   - pattern: Which topics.
    ///   - group: See ``subscribe(_:group:options:)``.
    ///   - options: See ``SubscriptionOptions``.
    ///   - onFailure: Called for each message that failed, to log or count it.
    ///   - handler: What to do with a message.
    /// - Throws: ``MicroError``: as ``subscribe(_:group:options:)``; `CancellationError`.
    public func consume<Value: Decodable & Sendable>(
        _ pattern: String, group: String? = nil,
        options: SubscriptionOptions = SubscriptionOptions(),
        onFailure: @escaping @Sendable (SubscriberFailure) -> Void = { _ in },
        _ handler: @escaping @Sendable (Value, SubscriberContext) async throws -> Void
    ) async throws {
        try await consume(
            pattern, reading: CodableCoding<Value>(codecs), group: group, options: options,
            onFailure: onFailure, handler)
    }

    // MARK: Messages written and read in the caller's own way

    /// Publishes a value, written by `writer`. As the `publish` of `Codable` types.
    @discardableResult
    public func publish<Writer: MessageWriting>(
        _ value: Writer.Message, writing writer: Writer, to topic: String, key: String? = nil,
        headers: Metadata = [:], contentType: ContentType? = nil,
        deliver delivery: DeliveryTime = .now, timeout: Duration = .seconds(5)
    ) async throws -> PublishReceipt {
        let form = try writer.writtenForm(for: contentType?.description ?? "")
        let message = Message(
            topic: topic, key: key, headers: headers, contentType: form.contentType.description,
            body: try writer.write(value, as: form), delivery: delivery)
        return try await publish(message, timeout: timeout)
    }

    /// Subscribes to values that are read by `reader`. As the `messages` of `Codable` types.
    public func messages<Reader: MessageReading>(
        _ pattern: String, reading reader: Reader, group: String? = nil,
        options: SubscriptionOptions = SubscriptionOptions()
    ) async throws -> BrokerMessages<Reader.Message> {
        let subscription = try await subscribe(
            TopicPattern(pattern), group: group, options: options)
        return BrokerMessages(subscription: subscription, reading: reader)
    }

    /// Subscribes, and runs `handler` for each value, read by `reader`. As the `consume` of
    /// `Codable` types.
    public func consume<Reader: MessageReading>(
        _ pattern: String, reading reader: Reader, group: String? = nil,
        options: SubscriptionOptions = SubscriptionOptions(),
        onFailure: @escaping @Sendable (SubscriberFailure) -> Void = { _ in },
        _ handler: @escaping @Sendable (Reader.Message, SubscriberContext) async throws -> Void
    ) async throws {
        let subscription = try await subscribe(
            TopicPattern(pattern), group: group, options: options)
        try await subscription.consume(reading: reader, onFailure: onFailure, handler)
    }
}
