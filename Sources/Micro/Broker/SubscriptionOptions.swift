/// Bounds and redelivery of a subscription.
///
/// All but ``concurrency`` belong to the group, and must be alike in its members.
public struct SubscriptionOptions: Sendable, Hashable {
    /// What happens when a message comes and ``capacity`` messages wait.
    public enum Overflow: Sendable, Hashable {
        /// Publishing waits for room.
        case wait
        /// The oldest waiting message is dropped, and counted in ``Subscription/dropped``.
        case dropOldest
        /// Publishing fails with `resourceExhausted`, and no subscription gets the message.
        case refuse
    }

    /// How many deliveries this subscription may have out at a time: that many handlers run in
    /// parallel, each on a key of its own. Default 16; 1 keeps all messages in order.
    public var concurrency: Int

    /// How many messages may wait. Default 1,024.
    public var capacity: Int

    /// What happens beyond ``capacity``. Default ``Overflow/wait``.
    public var overflow: Overflow

    /// How long a delivery may be out before the message is delivered again. Default 30 seconds.
    /// The handler form cancels a handler after nine tenths of it.
    public var ackTimeout: Duration

    /// How often a message is delivered before it becomes a dead letter. Default 5; nil: for ever.
    public var maxDeliveries: Int?

    /// How long a message that failed waits. See ``RedeliveryBackoff``.
    public var backoff: RedeliveryBackoff

    /// Makes options.
    public init(
        concurrency: Int = 16, capacity: Int = 1024, overflow: Overflow = .wait,
        ackTimeout: Duration = .seconds(30), maxDeliveries: Int? = 5,
        backoff: RedeliveryBackoff = RedeliveryBackoff()
    ) {
        self.concurrency = concurrency
        self.capacity = capacity
        self.overflow = overflow
        self.ackTimeout = ackTimeout
        self.maxDeliveries = maxDeliveries
        self.backoff = backoff
    }

    /// Checks that every value is in its range: for those who implement ``Broker``.
    ///
    /// - Parameter group: The name of the group, which is checked too: 1 to 128 bytes without white
    ///   space and control characters.
    /// - Throws: ``MicroError``, `invalidArgument`, naming the field.
    public func validate(group: String?) throws(MicroError) {
        func require(
            _ condition: Bool, _ field: String, _ rule: String
        ) throws(MicroError) {
            guard !condition else { return }
            throw .invalid("broker.subscribe", "\(field) must be \(rule)", at: field)
        }
        if let group {
            let isClean = group.unicodeScalars.allSatisfy { scalar in
                !scalar.properties.isWhitespace && scalar.properties.generalCategory != .control
            }
            try require(
                isClean && (1...128).contains(group.utf8.count), "group",
                "1 to 128 bytes without white space and control characters, or nil")
        }
        try require(concurrency >= 1, "concurrency", "at least 1, but is \(concurrency)")
        try require(capacity >= 1, "capacity", "at least 1, but is \(capacity)")
        try require(ackTimeout > .zero, "ackTimeout", "more than zero, but is \(ackTimeout)")
        if let maxDeliveries {
            try require(
                maxDeliveries >= 1, "maxDeliveries", "at least 1 or nil, but is \(maxDeliveries)")
        }
        try require(backoff.initial >= .zero, "backoff.initial", "zero or more")
        try require(
            backoff.maximum >= backoff.initial, "backoff.maximum", "at least backoff.initial")
        try require(
            backoff.factor >= 1 && backoff.factor.isFinite, "backoff.factor",
            "at least 1, but is \(backoff.factor)")
        try require(
            (0...1).contains(backoff.jitter), "backoff.jitter", "0 to 1, but is \(backoff.jitter)")
    }

    /// Whether members with these two can be of one group.
    func agrees(with other: SubscriptionOptions) -> Bool {
        var same = other
        same.concurrency = concurrency
        return self == same
    }
}
