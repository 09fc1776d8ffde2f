/// A call with many messages, as its two channels see it: the side of a service, or of a client.
/// Its functions are called on its loop, where it tells the channels what happens.
protocol StreamCall: AnyObject, Sendable {
    var loop: EventLoop { get }

    /// Asks for the next message: the inbound channel is told one message, or its end, later.
    func receive() -> CoreStatus

    /// Queues one message.
    func send(_ message: [UInt8], _ flags: MessageFlags) -> CoreStatus

    /// Whether it makes sense to send more; when it does again, the outbound channel is told.
    var isWritable: Bool { get }

    /// Sends what comes along with the messages, unless it was sent.
    func sendHead() -> CoreStatus

    /// No more will be sent.
    func finishSending() -> CoreStatus

    /// Why nothing can be sent or received any more.
    var closedError: MicroError { get }

    /// What the call is about, for errors: "chat/Chat.Join".
    var id: String { get }
}
