/// What a broker carries: bytes under a topic, with headers.
public struct Message: Sendable, Hashable {
    /// Identifies the message for ever, also through redeliveries and as a dead letter. The broker
    /// gives it one when it is empty.
    public var id: String

    /// Where it is published: "orders.created". See ``TopicPattern``.
    public var topic: String

    /// Messages of one topic and key are delivered one after the other, in the order in which they
    /// were published; without a key there is no order.
    public var key: String?

    /// What goes along for the receivers.
    public var headers: Metadata

    /// What the body is: "application/json". Empty: unknown, the receiver has to know.
    public var contentType: String

    /// The payload.
    public var body: [UInt8]

    /// When the message may be delivered. Default ``DeliveryTime/now``.
    public var delivery: DeliveryTime

    /// Makes a message.
    public init(
        id: String = "", topic: String, key: String? = nil, headers: Metadata = [:],
        contentType: String = "", body: [UInt8], delivery: DeliveryTime = .now
    ) {
        self.id = id
        self.topic = topic
        self.key = key
        self.headers = headers
        self.contentType = contentType
        self.body = body
        self.delivery = delivery
    }
}
