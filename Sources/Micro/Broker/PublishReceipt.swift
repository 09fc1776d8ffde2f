/// The broker's word that it has accepted a message.
public struct PublishReceipt: Sendable, Hashable {
    /// The id of the message: its own, or the one that the broker gave it.
    public var id: String

    /// Makes a receipt: for those who implement ``Broker``.
    public init(id: String) { self.id = id }
}
