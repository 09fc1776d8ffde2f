/// A message that a subscriber could not process: for logs and counters.
public struct SubscriberFailure: Sendable {
    /// The message.
    public let message: Message

    /// How often it has been delivered so far.
    public let deliveries: Int

    /// What went wrong: what the handler threw, that it took too long, that the body can't be
    /// decoded, or that the message could not be settled.
    public let error: any Error
}
