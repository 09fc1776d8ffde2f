/// The messages of one subscription as values: what ``Broker/messages(_:group:options:as:)``
/// returns.
///
/// A bounded, single-pass sequence; see ``Subscription``.
public struct BrokerMessages<Value: Decodable & Sendable>: AsyncSequence, Sendable {
    /// The subscription underneath.
    public let subscription: Subscription

    init(subscription: Subscription) { self.subscription = subscription }

    /// Takes no more messages, and waits until those that are out are settled. See
    /// ``Subscription/unsubscribe(timeout:)``.
    public func unsubscribe(timeout: Duration = .seconds(5)) async {
        await subscription.unsubscribe(timeout: timeout)
    }

    /// The messages. All iterators share them.
    public func makeAsyncIterator() -> Iterator { Iterator(subscription: subscription) }

    /// Iterates the messages.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        fileprivate let subscription: Subscription

        /// The next message that can be decoded; nil when the subscription has ended.
        ///
        /// - Throws: As ``Subscription/next()``.
        public mutating func next() async throws -> ReceivedMessage<Value>? {
            while let delivery = try await subscription.next() {
                do {
                    let value: Value = try subscription.decode(delivery.message)
                    return ReceivedMessage(value: value, delivery: delivery)
                } catch {
                    // Settled in vain when its time is over: then it comes again.
                    try? await delivery.reject(error)
                }
            }
            return nil
        }
    }
}

extension Subscription {
    /// The value in a message.
    func decode<Value: Decodable>(_ message: Message) throws -> Value {
        let codec = try broker.codecs.codec(for: message.contentType, carrying: Value.self)
        return try codec.decode(Value.self, from: message.body.span.bytes)
    }
}

extension Delivery {
    /// Gives up a message that can't be decoded: but not a dead letter, which would be lost.
    func reject(_ error: any Error) async throws {
        let reason = "cannot be decoded: \(error)"
        if DeadLetter.isDeadLetter(topic: message.topic) {
            try await retry(reason: reason)
        } else {
            try await discard(reason: reason)
        }
    }
}
