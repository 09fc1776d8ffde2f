internal import CMicroCore

/// What goes back to the caller.
struct OutgoingAnswer: Sendable {
    var code: UInt32 = 0
    var httpStatus: UInt32 = 0
    var contentType: [UInt8] = []
    var message: String = ""
    var details: [UInt8] = []
    var body: [UInt8] = []
    var flags = MessageFlags.plain
    var metadata = Metadata()
    var trailers = Metadata()
}

/// How the replies of a stream begin.
struct ReplyHead: Sendable {
    var framing = Framing.none
    var contentType: [UInt8] = []
    var metadata = Metadata()
    /// Of plain HTTP: whether all of them together are compressed.
    var flags = MessageFlags.plain

    /// How replies are separated on plain HTTP.
    enum Framing: Sendable {
        case none, lines, events

        fileprivate var raw: UInt32 {
            switch self {
            case .none: UInt32(MCORE_FRAMING_NONE)
            case .lines: UInt32(MCORE_FRAMING_LINES)
            case .events: UInt32(MCORE_FRAMING_EVENTS)
            }
        }
    }
}

/// The right and the duty to answer one call, once.
///
/// The call stays valid until then, also when its peer is gone, so that an answer may come late and
/// from any thread.
struct ServerCall: @unchecked Sendable {  // the pointer is used on the call's loop only
    private let raw: OpaquePointer
    let loop: EventLoop

    fileprivate init(raw: OpaquePointer, loop: EventLoop) {
        self.raw = raw
        self.loop = loop
    }

    /// Answers. The call is dead afterwards. On the call's loop.
    func answer(_ answer: borrowing OutgoingAnswer) {
        var message = answer.message
        answer.metadata.withHeaders { headers, headerCount in
            answer.trailers.withHeaders { trailers, trailerCount in
                message.withUTF8 { message in
                    var raw = mcore_answer()
                    raw.struct_size = UInt32(MemoryLayout<mcore_answer>.size)
                    raw.message = mcore_slice(UnsafeRawBufferPointer(message))
                    raw.metadata = headers
                    raw.metadata_count = UInt32(clamping: headerCount)
                    raw.trailers = trailers
                    raw.trailer_count = UInt32(clamping: trailerCount)
                    answer.details.withUnsafeBytes { details in
                        raw.details = mcore_slice(details)
                        self.send(answer, &raw)
                    }
                }
            }
        }
    }

    private func send(_ answer: borrowing OutgoingAnswer, _ raw: inout mcore_answer) {
        raw.rpc_code = answer.code
        raw.http_status = answer.httpStatus
        send(answer.body, answer.contentType, answer.flags, &raw)
    }

    /// The answer to almost every call: a message and how it is written.
    func answer(_ message: [UInt8], contentType: [UInt8], _ flags: MessageFlags) {
        var raw = mcore_answer()
        raw.struct_size = UInt32(MemoryLayout<mcore_answer>.size)
        send(message, contentType, flags, &raw)
    }

    private func send(
        _ message: [UInt8], _ contentType: [UInt8], _ flags: MessageFlags, _ raw: inout mcore_answer
    ) {
        raw.body_flags = flags.raw
        contentType.withUnsafeBytes { contentType in
            message.withUnsafeBytes { message in
                raw.content_type = mcore_slice(contentType)
                raw.body = mcore_slice(message)
                mcore_call_answer(self.raw, &raw)
            }
        }
    }

    /// A task that was started elsewhere works on it now. Any thread, before the answer.
    func hasStarted() { mcore_call_started(raw) }

    /// Asks to be told once when nobody waits for the answer any more. `watcher` must live until
    /// the call is answered. On the call's loop.
    func onCancel(_ watcher: CallWatcher) {
        mcore_call_on_cancel(raw, callWasCancelled, Unmanaged.passUnretained(watcher).toOpaque())
    }

    // MARK: Streams. All on the call's loop, before the answer.

    /// Asks to be told of messages too. `watcher` must live until the call is answered.
    func open(_ watcher: StreamWatcher) -> CoreStatus {
        CoreStatus(
            raw: mcore_call_open(
                raw, streamEvents.pointer, Unmanaged.passUnretained(watcher).toOpaque()))
    }

    /// Asks for the next message.
    func receive() -> CoreStatus { CoreStatus(raw: mcore_call_receive(raw)) }

    /// Sends the headers of the replies.
    func begin(_ head: ReplyHead) -> CoreStatus {
        head.metadata.withHeaders { headers, headerCount in
            head.contentType.withUnsafeBytes { contentType in
                var raw = mcore_reply_head()
                raw.struct_size = UInt32(MemoryLayout<mcore_reply_head>.size)
                raw.framing = head.framing.raw
                raw.content_type = mcore_slice(contentType)
                raw.metadata = headers
                raw.metadata_count = UInt32(clamping: headerCount)
                raw.flags = head.flags.raw
                return CoreStatus(raw: mcore_call_begin(self.raw, &raw))
            }
        }
    }

    /// Queues one reply.
    func send(_ message: [UInt8], _ flags: MessageFlags) -> CoreStatus {
        withCoreMessage(message, flags) {
            CoreStatus(raw: mcore_call_send(raw, $0))
        }
    }

    /// Whether it makes sense to send more.
    var isWritable: Bool { mcore_call_writable(raw) != 0 }

    /// The other side of ``HandlerTable``: what the core calls.
    fileprivate static func begin(_ raw: OpaquePointer) -> ServerCall? {
        EventLoop.current.map { ServerCall(raw: raw, loop: $0) }
    }
}

/// Told that a call was cancelled. On the call's loop.
@usableFromInline
class CallWatcher: @unchecked Sendable {  // used on the call's loop only
    func callWasCancelled(_ why: CoreStatus) {}
}

/// Told of the messages of a call too. On the call's loop.
class StreamWatcher: CallWatcher, @unchecked Sendable {  // used on the call's loop only
    /// The message that was asked for, borrowed.
    func received(_ message: RawSpan, wasCompressed: Bool) {}
    /// The caller has sent all.
    func receivedAll() {}
    /// More can be sent again.
    func becameWritable() {}
}

/// The table of functions for the core, at an address that stays.
private struct StreamEvents: @unchecked Sendable {  // not changed once it is made
    let pointer: UnsafeMutablePointer<mcore_call_events>

    init() {
        pointer = .allocate(capacity: 1)
        var events = mcore_call_events()
        events.struct_size = UInt32(MemoryLayout<mcore_call_events>.size)
        events.on_message = { watcher, message in
            guard let watcher = StreamEvents.watcher(watcher) else { return }
            guard let message else { return watcher.receivedAll() }
            message.pointee.withBytes { watcher.received($0, wasCompressed: $1) }
        }
        events.on_writable = { StreamEvents.watcher($0)?.becameWritable() }
        events.on_cancel = { watcher, why in
            StreamEvents.watcher(watcher)?.callWasCancelled(CoreStatus(raw: why))
        }
        pointer.initialize(to: events)
    }

    private static func watcher(_ ctx: UnsafeMutableRawPointer?) -> StreamWatcher? {
        ctx.map { Unmanaged<StreamWatcher>.fromOpaque($0).takeUnretainedValue() }
    }
}

private let streamEvents = StreamEvents()

private let callWasCancelled: @convention(c) (UnsafeMutableRawPointer?, mcore_status) -> Void = {
    watcher, why in
    guard let watcher else { return }
    Unmanaged<CallWatcher>.fromOpaque(watcher).takeUnretainedValue()
        .callWasCancelled(CoreStatus(raw: why))
}

extension mcore_slice {
    init(_ bytes: UnsafeRawBufferPointer) {
        self.init(data: bytes.baseAddress, len: bytes.count)
    }
}

/// How one route is served.
struct RouteOptions: Sendable {
    var timeout: Duration?
    var messageBytesMax: Int?
    var streaming: CallKind = .unary
    var limiter: CoreLimiter?
    /// Never shed, and not counted by the limiter of the server.
    var isVital = false
}

/// The paths of a server and what to do for each. Filled before a server uses it, then shared by
/// all loops.
final class HandlerTable: @unchecked Sendable {  // not changed once a server uses it
    typealias Handler = @Sendable (ServerCall, borrowing IncomingRequest) -> Void

    fileprivate final class Route: Sendable {
        let handler: Handler
        init(_ handler: @escaping Handler) { self.handler = handler }
    }

    let pointer: CorePointer
    private var routes: [Route] = []

    init() throws(MicroError) {
        var created: OpaquePointer?
        try check(mcore_routes_create(&created), "server", "make the table of routes")
        guard let created else { throw MicroError("server", .internal, "the core made no routes") }
        pointer = CorePointer(raw: created)
    }

    deinit { mcore_routes_release(pointer.raw) }

    /// Errors: alreadyExists for a path that is taken.
    func add(
        path: String, options: RouteOptions = RouteOptions(), handler: @escaping Handler
    ) throws(MicroError) {
        let route = Route(handler)
        routes.append(route)
        var raw = mcore_route_options()
        raw.struct_size = UInt32(MemoryLayout<mcore_route_options>.size)
        raw.timeout_ms = UInt64(options.timeout?.clampedMilliseconds ?? 0)
        raw.message_bytes_max = UInt32(clamping: options.messageBytesMax ?? 0)
        raw.streaming = options.streaming.raw
        raw.limiter = options.limiter?.pointer.raw
        raw.vital = options.isVital ? 1 : 0
        var path = path
        let status = path.withUTF8 { bytes in
            mcore_routes_add(
                pointer.raw, mcore_slice(UnsafeRawBufferPointer(bytes)), serveRoute,
                Unmanaged.passUnretained(route).toOpaque(), &raw)
        }
        try check(status, "server", "add the path \(path)")
    }
}

private let serveRoute: mcore_handler = { ctx, call, request in
    guard let ctx, let raw = call, let request, let call = ServerCall.begin(raw) else { return }
    let route = Unmanaged<HandlerTable.Route>.fromOpaque(ctx).takeUnretainedValue()
    IncomingRequest.with(request, of: raw) { route.handler(call, $0) }
}
