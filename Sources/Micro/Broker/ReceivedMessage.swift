/// A value that came through a broker, to be settled by hand. See ``Delivery``.
public struct ReceivedMessage<Value: Sendable>: Sendable {
    /// The payload.
    public let value: Value

    /// The delivery underneath.
    public let delivery: Delivery

    /// How often it has been delivered, this time included: 1 at first.
    public var deliveries: Int { delivery.deliveries }

    /// Where it was published.
    public var topic: String { delivery.message.topic }

    /// Its key, if it has one.
    public var key: String? { delivery.message.key }

    /// What was sent along.
    public var headers: Metadata { delivery.message.headers }

    /// The message is done. See ``Delivery/acknowledge()``.
    public func acknowledge() async throws { try await delivery.acknowledge() }

    /// The message failed. See ``Delivery/retry(after:reason:)``.
    public func retry(after delay: Duration? = nil, reason: String = "") async throws {
        try await delivery.retry(after: delay, reason: reason)
    }

    /// The message can't be processed. See ``Delivery/discard(reason:)``.
    public func discard(reason: String) async throws { try await delivery.discard(reason: reason) }
}
