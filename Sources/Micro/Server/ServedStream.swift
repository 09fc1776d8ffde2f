internal import Synchronization

/// One streaming call between its request and its answer: its messages, the task that works on
/// them, and whoever cancels that.
///
/// All but the task, which is behind a mutex, is touched on the call's loop only.
final class ServedStream: StreamWatcher, StreamCall, @unchecked Sendable {  // see above
    private let call: ServerCall
    private let context: Context
    private let isGRPC: Bool
    private let reply: ReplyFormat
    private let task = Mutex<SpawnedTask?>(nil)
    private var inlet: (any StreamInlet)?
    private var outlet: OutboundChannel?
    private var sentMetadata: Metadata?
    private var isEnded = false
    private var end: MicroError?

    init(_ call: ServerCall, _ context: Context, _ reply: ReplyFormat, isGRPC: Bool) {
        self.call = call
        self.context = context
        self.reply = reply
        self.isGRPC = isGRPC
        super.init()
    }

    var loop: EventLoop { call.loop }
    var id: String { context.endpoint }

    // MARK: The two directions. On the loop, before `start`.

    func inbound<Message: Sendable>(
        _ decode: @escaping @Sendable (RawSpan) throws -> Message
    ) -> Inbound<Message> {
        let channel = InboundChannel(self, decode: decode)
        inlet = channel
        return Inbound(channel, head: StreamHead(headers: context.metadata))
    }

    func outbound<Message: Sendable>(
        _ encode: @escaping @Sendable (Message) throws -> [UInt8]
    ) -> Outbound<Message> {
        let channel = OutboundChannel(on: loop)
        channel.call = self
        outlet = channel
        let context = context
        return Outbound(channel, compression: { context.compression }, encode: encode)
    }

    /// Starts `work` on `executor` and answers with what comes out. On the loop.
    func start(
        on executor: (any TaskExecutor)?,
        _ work: @escaping @Sendable () async throws -> [UInt8]?
    ) {
        let status = call.open(self)
        guard status.raw >= 0 else {
            return finish(
                OutgoingAnswer(
                    MicroError(id, status.code, "open the stream: \(status.text)"), isGRPC: isGRPC)
            )
        }
        let run: @Sendable () async -> Void = {
            let answer = await self.answer(of: work)
            self.loop.executeNow { self.finish(answer) }
        }
        let started =
            if executor as? EventLoop === loop {
                loop.startHere(run)
            } else if executor != nil {
                SpawnedTask(on: executor, run)
            } else {
                SpawnedTask(on: nil) { [call] in
                    if !Task.isCancelled { call.hasStarted() }
                    await run()
                }
            }
        task.withLock { $0 = started }
    }

    private func answer(
        of work: @Sendable () async throws -> [UInt8]?
    ) async -> OutgoingAnswer {
        // It is cancelled by callWasCancelled only, which closes the channels first.
        inlet?.belongsToCurrentTask()
        do {
            var answer = OutgoingAnswer()
            guard let message = try await context.bind(work) else { return answer }
            answer.body = message
            answer.contentType = reply.contentType
            return answer
        } catch {
            return OutgoingAnswer(context.failure(error), isGRPC: isGRPC)
        }
    }

    private func finish(_ answer: OutgoingAnswer) {
        close(
            MicroError(id, .failedPrecondition, "the call has ended: its handler has returned"))
        var answer = answer
        answer.take(context.scope)
        // What was sent with the first reply is not sent again.
        if answer.metadata == sentMetadata { answer.metadata = Metadata() }
        call.answer(answer)
    }

    /// Nothing is asked of the call any more.
    private func close(_ error: MicroError) {
        if !isEnded { end = error }
        isEnded = true
        outlet?.close(error)
        inlet?.finish(throwing: error)
        outlet = nil
        inlet = nil
    }

    // MARK: What the channels ask for

    func receive() -> CoreStatus { isEnded ? .closed : call.receive() }

    func send(_ message: [UInt8], _ flags: MessageFlags) -> CoreStatus {
        let begun = sendHead()
        return begun == .ok ? call.send(message, flags) : begun
    }

    func sendHead() -> CoreStatus {
        guard !isEnded else { return .closed }
        guard sentMetadata == nil else { return .ok }
        var head = reply.head
        head.metadata = context.replyMetadata
        head.flags = context.compression.flagsOfAny
        let status = call.begin(head)
        if status == .ok { sentMetadata = head.metadata }
        return status
    }

    var isWritable: Bool { isEnded || call.isWritable }

    /// The caller is told the end when the handler returns.
    func finishSending() -> CoreStatus { .ok }

    var closedError: MicroError {
        end ?? MicroError(id, .cancelled, "nobody waits for the replies any more")
    }

    // MARK: What the core tells

    override func received(_ message: RawSpan, wasCompressed: Bool) {
        inlet?.received(message, wasCompressed: wasCompressed)
    }

    override func receivedAll() { inlet?.finish(throwing: nil) }

    override func becameWritable() { outlet?.becameWritable() }

    override func callWasCancelled(_ why: CoreStatus) {
        let code: MicroError.Code = why == .timedOut ? .deadlineExceeded : .cancelled
        switch why {
        case .timedOut, .cancelled, .closed, .draining:
            close(MicroError(id, code, "nobody waits for the answer any more: \(why.text)"))
        default:
            close(MicroError(id, why.code, "the caller's messages can't be read: \(why.text)"))
        }
        task.withLock { $0 }?.cancel()
    }
}
