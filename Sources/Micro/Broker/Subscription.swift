/// The deliveries of one subscription: a bounded, single-pass sequence.
///
/// At most ``SubscriptionOptions/concurrency`` of them are out at a time: the next one comes when
/// one is settled. The sequence ends after ``unsubscribe(timeout:)`` and when the broker closes.
/// When the last copy of it is gone, the subscription ends too, and what it had out goes to other
/// members.
public struct Subscription: AsyncSequence, Sendable {
    /// What was subscribed to.
    public let pattern: TopicPattern

    /// The group it is a member of, if any.
    public let group: String?

    /// The options it was made with.
    public let options: SubscriptionOptions

    let broker: any Broker
    private let membership: Membership

    /// Makes a subscription: for those who implement ``Broker``.
    public init(
        pattern: TopicPattern, group: String?, options: SubscriptionOptions, broker: any Broker,
        source: any SubscriptionSource
    ) {
        self.pattern = pattern
        self.group = group
        self.options = options
        self.broker = broker
        self.membership = Membership(source)
    }

    /// How many messages were dropped by ``SubscriptionOptions/Overflow/dropOldest`` since the
    /// group was made.
    public var dropped: UInt64 { membership.source.dropped }

    /// The next delivery; nil when the subscription has ended.
    ///
    /// - Throws: `CancellationError`; the subscription goes on then. ``MicroError``
    ///   (`failedPrecondition`) when another task waits here already.
    public func next() async throws -> Delivery? { try await membership.source.next() }

    /// Takes no more deliveries, and waits until those that are out are settled.
    ///
    /// - Parameter timeout: How long to wait; cancellation ends the waiting too. What is not
    ///   settled then goes to the other members of the group, not counted as a failure.
    public func unsubscribe(timeout: Duration = .seconds(5)) async {
        await membership.source.unsubscribe(timeout: timeout)
    }

    /// The deliveries. All iterators share them.
    public func makeAsyncIterator() -> Iterator { Iterator(subscription: self) }

    /// Iterates a subscription.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        fileprivate let subscription: Subscription

        /// The next delivery; as ``Subscription/next()``.
        public mutating func next() async throws -> Delivery? { try await subscription.next() }
    }

    /// Ends the subscription with the last copy.
    private final class Membership: Sendable {
        let source: any SubscriptionSource
        init(_ source: any SubscriptionSource) { self.source = source }
        deinit { source.abandon() }
    }
}

/// The broker's side of a subscription: for those who implement ``Broker``.
public protocol SubscriptionSource: Sendable {
    /// As ``Subscription/dropped``.
    var dropped: UInt64 { get }

    /// As ``Subscription/next()``.
    func next() async throws -> Delivery?

    /// As ``Subscription/unsubscribe(timeout:)``; idempotent.
    func unsubscribe(timeout: Duration) async

    /// Nobody holds the subscription any more. Must return at once, and may be called after
    /// `unsubscribe`.
    func abandon()
}
