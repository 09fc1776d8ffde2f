/// The messages of one subscription as values: what ``Broker/messages(_:group:options:as:)``
/// returns.
///
/// A bounded, single-pass sequence; see ``Subscription``.
public struct BrokerMessages<Value: Sendable>: AsyncSequence, Sendable {
    /// The subscription underneath.
    public let subscription: Subscription

    private let read: @Sendable (Message) throws -> Value

    init<Reader: MessageReading>(
        subscription: Subscription, reading reader: Reader
    ) where Reader.Message == Value {
        self.subscription = subscription
        self.read = { try reader.read($0) }
    }

    /// Takes no more messages, and waits until those that are out are settled. See
    /// ``Subscription/unsubscribe(timeout:)``.
    public func unsubscribe(timeout: Duration = .seconds(5)) async {
        await subscription.unsubscribe(timeout: timeout)
    }

    /// The messages. All iterators share them.
    public func makeAsyncIterator() -> Iterator {
        Iterator(subscription: subscription, read: read)
    }

    /// Iterates the messages.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        fileprivate let subscription: Subscription
        fileprivate let read: @Sendable (Message) throws -> Value

        /// The next message that can be decoded; nil when the subscription has ended.
        ///
        /// - Throws: As ``Subscription/next()``.
        public mutating func next() async throws -> ReceivedMessage<Value>? {
            while let delivery = try await subscription.next() {
                do {
                    return ReceivedMessage(value: try read(delivery.message), delivery: delivery)
                } catch {
                    // Settled in vain when its time is over: then it comes again.
                    try? await delivery.reject(error)
                }
            }
            return nil
        }
    }
}

extension MessageReading {
    /// The value in what a broker delivered.
    func read(_ message: Micro.Message) throws -> Message {
        try read(message.body.span.bytes, as: readForm(for: message.contentType))
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
