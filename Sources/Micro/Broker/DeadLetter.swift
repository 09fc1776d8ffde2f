/// Messages that could not be processed: where they go and what they carry.
///
/// A message that failed ``SubscriptionOptions/maxDeliveries`` times, was discarded, or can't be
/// decoded is published again, with the same id, key, headers and body, to `$dead.` and its topic.
/// It is a message like any other there: subscribe to `$dead.orders.created` or `$dead.>`.
/// A dead letter never becomes one again: it's delivered until it is acknowledged, or dropped when
/// somebody discards it.
public enum DeadLetter {
    /// What the topic of a dead letter begins with.
    public static let prefix = "$dead."

    /// The header with the topic that the message was published to.
    public static let topicHeader = "micro-dead-topic"

    /// The header with why it was given up.
    public static let reasonHeader = "micro-dead-reason"

    /// The header with how often it was delivered.
    public static let deliveriesHeader = "micro-dead-deliveries"

    /// The header with the pattern of the subscription that gave it up.
    public static let patternHeader = "micro-dead-pattern"

    /// The header with the group that gave it up; absent without a group.
    public static let groupHeader = "micro-dead-group"

    /// Where the dead letters of `topic` go.
    public static func topic(for topic: String) -> String { prefix + topic }

    /// Whether `topic` is one of dead letters.
    public static func isDeadLetter(topic: String) -> Bool { topic.hasExactPrefix(prefix) }

    /// The dead letter of `message`: for those who implement ``Broker``.
    ///
    /// - Returns: nil when the message is a dead letter itself.
    public static func of(
        _ message: Message, reason: String, deliveries: Int, pattern: TopicPattern, group: String?
    ) -> Message? {
        guard !isDeadLetter(topic: message.topic) else { return nil }
        var letter = message
        letter.topic = topic(for: message.topic)
        letter.delivery = .now
        letter.headers[topicHeader] = message.topic
        letter.headers[reasonHeader] = headerText(reason)
        letter.headers[deliveriesHeader] = String(deliveries)
        letter.headers[patternHeader] = pattern.description
        letter.headers[groupHeader] = group
        return letter
    }

    /// What may be a header, so that a dead letter can be published again: one line, at most 1,024
    /// bytes, no spaces around it.
    private static func headerText(_ text: String) -> String {
        var line = String.UnicodeScalarView()
        var bytes = 0
        for scalar in text.onSingleLine.unicodeScalars.drop(while: { $0 == " " }) {
            bytes += UTF8.width(scalar)
            guard bytes <= 1024 else { break }
            line.append(scalar)
        }
        while line.last == " " { line.removeLast() }
        return String(line)
    }
}
