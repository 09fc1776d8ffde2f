/// Carries messages from publishers to subscribers, at least once.
///
/// These requirements are byte-based, for who implements a broker; the typed forms
/// (`publish(_:to:)`, `messages(_:as:)`, `consume`) are extension methods on top of them.
///
/// Duties of an implementation, which `BrokerConformance` of MicroTesting checks:
/// - A message goes to every subscription without a group whose pattern matches, and to one
///   subscription of each group. A group is known by its name *and* its pattern.
/// - Messages of one topic and key reach a group, or a subscription without one, one at a time and
///   in the order of publishing: the next one waits until the one before is acknowledged or given
///   up.
/// - A delivery that is not settled in time is delivered again. One that has failed too often
///   becomes a dead letter; see ``DeadLetter``.
/// - Every queue has a bound; ``SubscriptionOptions/overflow`` says what happens at it.
/// - A subscription sees what is published after `subscribe` has returned.
public protocol Broker: Sendable {
    /// The kind of broker, for logs: "memory", "nats".
    var name: String { get }

    /// Where its time, tasks and randomness come from.
    var environment: Environment { get }

    /// What the typed forms encode and decode with.
    var codecs: Codecs { get }

    /// Publishes one message and waits until the broker has accepted it.
    ///
    /// Having no subscriber is no error.
    /// - Parameters:
    ///   - message: Its topic must be valid; see ``TopicPattern/validate(topic:)``.
    ///   - timeout: How long to wait for room in the queues of slow subscribers.
    /// - Throws: ``MicroError``: `invalidArgument` (topic, headers), `payloadTooLarge`,
    ///   `deadlineExceeded` (nothing was accepted), `resourceExhausted` (a subscription that
    ///   refuses is full; nothing was accepted), `unavailable` (closed). `CancellationError`:
    ///   nothing was accepted.
    @discardableResult
    func publish(_ message: Message, timeout: Duration) async throws -> PublishReceipt

    /// Subscribes to topics.
    ///
    /// - Parameters:
    ///   - pattern: Which topics.
    ///   - group: Subscriptions of one group and pattern share the messages: each goes to one of
    ///     them. nil: this subscription gets every message.
    ///   - options: Bounds and redelivery. Those of the whole group must be alike in all members.
    /// - Throws: ``MicroError``: `invalidArgument` (options), `failedPrecondition` (the group has
    ///   other options), `unavailable` (closed).
    func subscribe(
        _ pattern: TopicPattern, group: String?, options: SubscriptionOptions
    ) async throws -> Subscription

    /// Closes the broker: nothing more is accepted, subscriptions end, and deliveries that are out
    /// are waited for. Idempotent.
    ///
    /// - Parameter timeout: How long to wait for them. Cancellation ends the waiting too.
    func close(timeout: Duration) async
}

extension Broker {
    /// Publishes one message, waiting at most 5 seconds until the broker has accepted it.
    @discardableResult
    public func publish(_ message: Message) async throws -> PublishReceipt {
        try await publish(message, timeout: .seconds(5))
    }

    /// Subscribes to topics with the default options.
    public func subscribe(
        _ pattern: TopicPattern, group: String? = nil
    ) async throws -> Subscription {
        try await subscribe(pattern, group: group, options: SubscriptionOptions())
    }

    /// Closes the broker, waiting at most 5 seconds for deliveries that are out.
    public func close() async { await close(timeout: .seconds(5)) }
}
