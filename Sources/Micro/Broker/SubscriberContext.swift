/// What a subscriber's handler knows about the message beside its value.
public struct SubscriberContext: Sendable {
    /// The message as it was published, with topic, key, headers and the encoded body.
    public let message: Message

    /// How often it has been delivered, this time included: 1 at first.
    public let deliveries: Int

    /// When the handler is cancelled, on ``clock``.
    public let deadline: EventLoopClock.Instant

    /// The broker's clock: virtual in a simulation.
    public let clock: EventLoopClock
}
