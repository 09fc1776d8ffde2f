/// One message in the hands of a subscriber, who has to settle it: with ``acknowledge()``,
/// ``retry(after:reason:)`` or ``discard(reason:)``, once, before ``deadline``.
///
/// A delivery that is not settled in time is delivered again, maybe to another member of the group.
/// Safe to use from any task.
public struct Delivery: Sendable {
    /// What was published.
    public let message: Message

    /// How often it has been delivered, this time included: 1 at first.
    public let deliveries: Int

    /// Until when it has to be settled, on the clock of the broker's environment.
    public let deadline: EventLoopClock.Instant

    private let settlement: any DeliverySettlement

    /// Makes a delivery: for those who implement ``Broker``.
    public init(
        message: Message, deliveries: Int, deadline: EventLoopClock.Instant,
        settlement: any DeliverySettlement
    ) {
        self.message = message
        self.deliveries = deliveries
        self.deadline = deadline
        self.settlement = settlement
    }

    /// The message is done, and never comes again.
    ///
    /// - Throws: ``MicroError``, `failedPrecondition`: with reason `DELIVERY_SETTLED` it was
    ///   settled before; with `DELIVERY_EXPIRED` the deadline has passed, and it is or will be
    ///   delivered again.
    public func acknowledge() async throws { try await settlement.acknowledge() }

    /// The message failed: it is delivered again, or becomes a dead letter when that was its last
    /// delivery.
    ///
    /// - Parameters:
    ///   - delay: When; nil: by the backoff of the subscription.
    ///   - reason: What went wrong; kept for the dead letter.
    /// - Throws: As ``acknowledge()``.
    public func retry(after delay: Duration? = nil, reason: String = "") async throws {
        try await settlement.retry(after: delay, reason: reason)
    }

    /// The message can't be processed, ever: it becomes a dead letter now.
    ///
    /// Returns when the broker has taken charge of it. See ``DeadLetter``.
    /// - Throws: As ``acknowledge()``.
    public func discard(reason: String) async throws {
        try await settlement.discard(reason: reason)
    }
}

/// What a broker does when a delivery is settled: for those who implement ``Broker``.
///
/// Each method throws as ``Delivery`` documents it, and never does anything twice.
public protocol DeliverySettlement: Sendable {
    /// The message is done.
    func acknowledge() async throws

    /// The message failed and shall come again, after `delay` or by the backoff.
    func retry(after delay: Duration?, reason: String) async throws

    /// The message is given up.
    func discard(reason: String) async throws
}
