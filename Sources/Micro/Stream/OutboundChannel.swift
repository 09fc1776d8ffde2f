/// The messages of a stream on their way from the tasks that send them to its loop. Who sends waits
/// while the other side is slow.
///
/// Any thread; what the call tells, it tells on its loop.
@usableFromInline
final class OutboundChannel: @unchecked Sendable {  // its state is touched on the loop only
    private enum Work: Sendable {
        case message([UInt8], MessageFlags)
        case head
        case end
    }

    /// Who waits until its message, or the end, was queued.
    private final class Sender: @unchecked Sendable {  // used on the loop once it is parked
        let work: Work
        var suspension: Suspension<Void>?
        var isCancelled = false
        /// Whether it has to wait until the other side takes more.
        var isMessage: Bool { if case .message = work { true } else { false } }

        init(_ work: Work) { self.work = work }

        func resume(_ result: Result<Void, any Error>) { suspension.take()?.resume(with: result) }
    }

    /// Whose messages these are. It closes this before it goes. Set before anything is sent.
    var call: (any StreamCall)?
    private let loop: EventLoop
    private var senders = Fifo<Sender>()
    private var end: MicroError? { didSet { isEnded = end != nil } }
    private var isEnded = false

    init(on loop: EventLoop) { self.loop = loop }

    // MARK: Sending

    /// Queues one message, when it makes sense to send one. When it throws, nothing was queued.
    @usableFromInline
    nonisolated(nonsending) func send(_ message: [UInt8], _ flags: MessageFlags) async throws {
        try Task.checkCancellation()
        if loop.isCurrent, senders.isEmpty, isReady {
            return try sendNow(message, flags)
        }
        try await wait(Sender(.message(message, flags)))
    }

    /// Says that all has been sent, behind what waits. The second time does nothing.
    nonisolated(nonsending) func finish() async throws { try await wait(Sender(.end)) }

    /// Sends what comes along with the messages, behind what waits.
    nonisolated(nonsending) func sendHead() async throws { try await wait(Sender(.head)) }

    nonisolated(nonsending) private func wait(_ sender: Sender) async throws {
        try await withTaskCancellationHandler {
            try await suspend { suspension in
                sender.suspension = suspension
                if !loop.executeNow({ self.park(sender) }) {
                    sender.resume(.failure(OutboundChannel.loopEnded))
                }
            }
        } onCancel: {
            loop.executeNow { self.cancel(sender) }
        }
    }

    private static var loopEnded: MicroError {
        MicroError("stream.send", .unavailable, "the event loop has ended")
    }

    // MARK: On the loop

    private func park(_ sender: Sender) {
        if sender.isCancelled { return sender.resume(.failure(CancellationError())) }
        senders.append(sender)
        sendWaiting()
    }

    private func cancel(_ sender: Sender) {
        sender.isCancelled = true
        if senders.removeFirst(where: { $0 === sender }) != nil {
            sender.resume(.failure(CancellationError()))
        }
    }

    private func sendWaiting() {
        while let sender = senders.first, isReady || !sender.isMessage {
            _ = senders.popFirst()
            sender.resume(
                Result {
                    switch sender.work {
                    case .message(let message, let flags):
                        try sendNow(message, flags)
                    case .head: try sendHeadNow()
                    case .end: try finishNow()
                    }
                })
        }
    }

    private var isReady: Bool { isEnded || call?.isWritable ?? true }

    private func openCall() throws -> any StreamCall {
        if isEnded, let end { throw end }
        guard let call else { throw OutboundChannel.loopEnded }
        return call
    }

    private func sendNow(_ message: [UInt8], _ flags: MessageFlags) throws {
        let call = try openCall()
        let status = call.send(message, flags)
        switch status {
        case .ok: return
        case .closed, .notFound: throw call.closedError
        default:
            throw MicroError(
                call.id, status.code,
                "a message of \(message.count) bytes can't be sent: \(status.text)")
        }
    }

    private func sendHeadNow() throws {
        let call = try openCall()
        let status = call.sendHead()
        switch status {
        case .ok: return
        case .closed, .notFound: throw call.closedError
        default: throw MicroError(call.id, status.code, "send the metadata: \(status.text)")
        }
    }

    private func finishNow() throws {
        guard end == nil, let call else { return }
        let status = call.finishSending()
        end = MicroError(
            call.id, .failedPrecondition, "the end of the messages was sent already")
        switch status {
        case .ok, .closed, .notFound: return
        default: throw MicroError(call.id, status.code, status.text)
        }
    }

    /// The call says that it takes more again.
    func becameWritable() { sendWaiting() }

    /// Nothing can be sent any more; who waits gets `error`. The first end counts.
    func close(_ error: MicroError) {
        guard end == nil || call != nil else { return }
        if end == nil { end = error }
        sendWaiting()
        call = nil
    }
}
