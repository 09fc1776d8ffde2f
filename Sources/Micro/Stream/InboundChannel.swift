/// The messages of a stream as values: they are read by the task that takes them.
final class InboundChannel<Message: Sendable>: Sendable {
    let queue: InboundQueue
    let decode: @Sendable (RawSpan) throws -> Message

    init(_ call: any StreamCall, decode: @escaping @Sendable (RawSpan) throws -> Message) {
        queue = InboundQueue(call)
        self.decode = decode
    }
}

extension InboundChannel: StreamInlet {
    func received(_ bytes: RawSpan, wasCompressed: Bool) {
        queue.received(bytes, wasCompressed: wasCompressed)
    }

    func belongsToCurrentTask() { queue.belongsToCurrentTask() }

    func finish(throwing error: (any Error)?) { queue.finish(throwing: error) }
}
