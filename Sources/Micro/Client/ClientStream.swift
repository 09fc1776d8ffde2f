internal import Synchronization

/// One streaming call between the tasks that use it and the loop that carries it.
///
/// What is not behind the mutex is touched on the loop only.
final class ClientStream: ClientStreamWatcher, StreamCall, @unchecked Sendable {  // see above
    private struct State {
        var id: UInt64?
        var isCancelled = false
        var companion: SpawnedTask?
    }

    let id: String
    let head = StreamHead()
    private let slot: ClientLoop
    private let describe: @Sendable (CallOutcome) -> MicroError?
    private let state = Mutex(State())
    private let settled = Latch<CallOutcome>()
    private var inlet: (any StreamInlet)?
    private let outlet: OutboundChannel
    private var end: MicroError?
    /// Set before the first message, which whoever reads it has taken behind a lock.
    private var contentType = ""

    /// - Parameter describe: Why the call has failed, if it has.
    init(
        on slot: ClientLoop, id: String,
        describe: @escaping @Sendable (CallOutcome) -> MicroError?
    ) {
        self.slot = slot
        self.id = id
        self.describe = describe
        self.outlet = OutboundChannel(on: slot.loop)
        super.init()
    }

    /// The reason of errors that say only that the call has ended.
    static let endedReason = "STREAM_ENDED"

    var loop: EventLoop { slot.loop }

    // MARK: Opening. Once.

    /// Opens the call on its loop.
    ///
    /// - Throws: ``MicroError`` when it can't be started.
    func open(
        _ request: ClientRequest, _ terms: CallTerms, over nodes: NodeSet
    ) async throws {
        do {
            try await loop.run {
                let id = try self.slot.open(self, request, terms, over: nodes)
                self.outlet.call = self
                let isCancelled = self.state.withLock { state in
                    state.id = id
                    return state.isCancelled
                }
                if isCancelled { try self.slot.client().cancel(id) }
            }
        } catch {
            // No end will be told, and the channel and this would keep each other for ever.
            inlet = nil
            throw error
        }
    }

    func inbound<Message: Sendable>(
        endsWhenDropped: Bool, reading read: @escaping StreamReading<Message>
    ) -> Inbound<Message> {
        let channel = InboundChannel(self) { bytes in
            do {
                // By the content type that the answer began with.
                return try read(bytes, self.contentType)
            } catch {
                self.cancel()
                throw Client.unreadable(error, "", as: Message.self, of: self.id)
            }
        }
        inlet = channel
        return Inbound(
            channel, head: head,
            lifetime: endsWhenDropped ? StreamLifetime { self.cancel() } : nil)
    }

    func outbound<Message: Sendable>(
        compression: Compression, _ encode: @escaping @Sendable (Message) throws -> [UInt8]
    ) -> Outbound<Message> {
        Outbound(outlet, compression: { compression }, encode: encode)
    }

    // MARK: The end

    /// Ends the call, if it has not ended; the node is told.
    func cancel() {
        let id = state.withLock { state in
            state.isCancelled = true
            return state.id
        }
        guard let id, outcome == nil else { return }
        loop.executeNow { try? self.slot.client().cancel(id) }
    }

    /// Cancels `task` when the call ends.
    func accompany(_ task: SpawnedTask) {
        state.withLock { $0.companion = task }
        if outcome != nil { task.cancel() }
    }

    /// How it ended, if it has.
    var outcome: CallOutcome? { try? settled.result?.get() }

    /// Waits until the call has ended. When the task is cancelled, the call is, too.
    func ended() async throws -> CallOutcome {
        try await withTaskCancellationHandler {
            try await settled.wait()
        } onCancel: {
            cancel()
        }
    }

    // MARK: What the channels ask for

    private func withID(_ body: (LoopClient, UInt64) -> CoreStatus) -> CoreStatus {
        guard end == nil, let id = state.withLock({ $0.id }), let client = try? slot.client() else {
            return .closed
        }
        return body(client, id)
    }

    func receive() -> CoreStatus { withID { $0.receive(on: $1) } }

    func send(_ message: [UInt8], _ flags: MessageFlags) -> CoreStatus {
        withID { $0.send(message, flags, on: $1) }
    }

    /// What goes along with the request was sent when the call was opened.
    func sendHead() -> CoreStatus { end == nil ? .ok : .closed }

    func finishSending() -> CoreStatus { withID { $0.finishSending(on: $1) } }

    var isWritable: Bool {
        guard end == nil, let id = state.withLock({ $0.id }), let client = try? slot.client() else {
            return true
        }
        return client.isWritable(id)
    }

    var closedError: MicroError {
        end
            ?? MicroError(
                id, .unavailable, "the call is about to end: nothing more is sent",
                reason: ClientStream.endedReason)
    }

    // MARK: What the core tells

    override func receivedHead(_ metadata: Metadata, contentType: String) {
        head.set(headers: .success(metadata))
        self.contentType = contentType
    }

    override func received(_ message: RawSpan, wasCompressed: Bool) {
        inlet?.received(message, wasCompressed: wasCompressed)
    }

    override func becameWritable() { outlet.becameWritable() }

    override func ended(_ outcome: CallOutcome) {
        let failure = describe(outcome)
        let closed =
            failure
            ?? MicroError(
                id, .failedPrecondition, "the call has ended: the node is done",
                reason: ClientStream.endedReason)
        end = closed
        head.set(trailers: outcome.trailers)
        head.set(headers: failure.map { .failure($0) } ?? .success(outcome.headers))
        settled.set(.success(outcome))
        state.withLock { $0.companion.take() }?.cancel()
        outlet.close(closed)
        inlet?.finish(throwing: failure)
        inlet = nil
    }
}

/// Reads the messages of one stream, whose content type says how. For one task at a time.
@usableFromInline
typealias StreamReading<Message> = @Sendable (RawSpan, String) throws -> Message

@inlinable
func streamReading<Reader: MessageReading>(_ reader: Reader) -> StreamReading<Reader.Message> {
    let chosen = ChosenForm<Reader.ReadForm>()
    return { bytes, contentType in
        if let form = chosen.form { return try reader.read(bytes, as: form) }
        let form = try reader.readForm(for: contentType)
        chosen.form = form
        return try reader.read(bytes, as: form)
    }
}

/// How the messages of one stream are read, from the first on.
@usableFromInline
final class ChosenForm<Form>: @unchecked Sendable {  // used by who takes the stream's messages
    @usableFromInline var form: Form?
    @inlinable init() {}
}
