internal import CMicroCore

/// The limits and times of a client, as the core takes them.
struct ClientLimits: Sendable {
    var messageBytes = 4 << 20
    var headerListBytes = 16 << 10
    var headerCount = 128
    var callsPerLoop = 100_000
    var connectTimeout: Duration = .seconds(5)
    var idleTimeout: Duration = .seconds(300)
    var keepaliveInterval: Duration = .seconds(20)
    var keepaliveTimeout: Duration = .seconds(10)
    var reconnectMin: Duration = .milliseconds(100)
    var reconnectMax: Duration = .seconds(30)
    var outputBytes = 4 << 20
    var retryBudgetPercent = 20
    var retryBudgetMin = 10
}

/// One node as the core's balancer knows it.
struct BalancedNode: Sendable, Hashable {
    var id: String
    var address: String
    var weight: Int
    var isDraining: Bool
}

/// The nodes of one target at one time. A higher revision is a later state.
struct NodeSet: Sendable {
    var revision: UInt64
    var nodes: [BalancedNode]
}

/// What a call carries and how often it may be tried.
struct CallPlan: Sendable {
    var path: String
    var contentType: String
    var body: [UInt8]
    var metadata: Metadata
    /// nil for a stream without a deadline.
    var timeout: Duration?
    var attemptTimeout: Duration?
    var attemptsMax: Int
    var isIdempotent: Bool
    var waitsForReady: Bool
    var kind = CallKind.unary
    /// Of the message; for a stream of requests: whether some of its messages may be.
    var isCompressed = false
}

/// How a call ended.
struct CallOutcome: Sendable {
    var code: UInt32
    var transport: CoreStatus
    var wasWritten: Bool
    var attempts: Int
    var retriesUnwritten: Int
    var retriesIdempotent: Int
    var node: String
    var message: String
    var details: [UInt8]
    var contentType: String
    var body: [UInt8]
    var wasCompressed: Bool
    var headers: Metadata
    var trailers: Metadata

    /// No node was reached, for a reason that other nodes may not have.
    var wasNotTaken: Bool {
        ![.ok, .cancelled, .timedOut, .closed].contains(transport) && !wasWritten
    }
}

/// The part of a client that lives on one loop: its connections, and a balancer for each target.
/// Everything is called on the loop.
final class LoopClient: @unchecked Sendable {  // its state is touched on its loop only
    private struct Target {
        let pointer: OpaquePointer
        var revision: UInt64?
    }

    typealias MakeTLS = @Sendable () throws(MicroError) -> TLSContext

    let loop: EventLoop
    private let raw: OpaquePointer
    private let makeTLS: MakeTLS
    private var hasTLS = false
    private var targets: [String: Target] = [:]
    private var isClosed = false
    private var isDestroyed = false
    private var whenClosed: [@Sendable () -> Void] = []

    /// - Parameter tls: Called when the first "tls" address is used.
    init(
        loop: EventLoop, limits: ClientLimits, tls: @escaping MakeTLS
    ) throws(MicroError) {
        var options = mcore_client_options()
        mcore_client_options_default(&options)
        options.message_bytes_max = UInt32(clamping: limits.messageBytes)
        options.header_list_bytes_max = UInt32(clamping: limits.headerListBytes)
        options.header_count_max = UInt32(clamping: limits.headerCount)
        options.calls_max = UInt32(clamping: limits.callsPerLoop)
        options.connect_timeout_ms = limits.connectTimeout.clampedMilliseconds
        options.idle_timeout_ms = limits.idleTimeout.clampedMilliseconds
        options.keepalive_interval_ms = limits.keepaliveInterval.clampedMilliseconds
        options.keepalive_timeout_ms = limits.keepaliveTimeout.clampedMilliseconds
        options.reconnect_min_ms = limits.reconnectMin.clampedMilliseconds
        options.reconnect_max_ms = limits.reconnectMax.clampedMilliseconds
        options.output_bytes_max = UInt32(clamping: limits.outputBytes)
        options.retry_budget_percent = UInt32(clamping: limits.retryBudgetPercent)
        options.retry_budget_min = UInt32(clamping: limits.retryBudgetMin)
        var created: OpaquePointer?
        try check(mcore_client_create(loop.raw, &options, &created), "client", "create the client")
        guard let created else { throw MicroError("client", .internal, "the core made no client") }
        self.loop = loop
        self.raw = created
        self.makeTLS = tls
    }

    private func addTLS() throws(MicroError) {
        guard !hasTLS else { return }
        let transport = try makeTLS().transport()
        try check(mcore_client_add_transport(raw, "tls", transport), "client", "add the scheme tls")
        hasTLS = true
    }

    /// Makes `key` balance over `nodes`, unless it does already, or over later ones.
    func update(_ key: String, to nodes: NodeSet, pick: UInt32) throws(MicroError) {
        // In two steps: Swift 6.3.1 without optimisation takes `targets[key]?.revision` from
        // nowhere when there is no such key, since a target begins with a raw pointer.
        let known = targets[key]
        if let known, let revision = known.revision, revision >= nodes.revision { return }
        var target: Target
        if let known { target = known } else { target = try open(pick: pick) }
        targets[key] = target
        try apply(nodes, to: target.pointer, of: key)
        target.revision = nodes.revision
        targets[key] = target
    }

    private func open(pick: UInt32) throws(MicroError) -> Target {
        guard !isClosed else { throw MicroError("client", .unavailable, "the client is closed") }
        // A program that makes up addresses must not grow it; calls that were started go on.
        if targets.count >= LoopClient.targetsMax {
            for target in targets.values { mcore_target_close(target.pointer) }
            targets = [:]
        }
        var created: OpaquePointer?
        try check(mcore_client_open_target(raw, pick, &created), "client", "make a balancer")
        guard let created else { throw MicroError("client", .internal, "the core made no target") }
        return Target(pointer: created, revision: nil)
    }

    private static let targetsMax = 4096

    private func apply(
        _ nodes: NodeSet, to target: OpaquePointer, of key: String
    ) throws(MicroError) {
        if nodes.nodes.contains(where: { $0.address.hasPrefix("tls://") }) { try addTLS() }
        var arena: [UInt8] = []
        for node in nodes.nodes {
            arena.append(contentsOf: node.id.utf8)
            arena.append(contentsOf: node.address.utf8)
        }
        let status = arena.withUnsafeBytes { arena in
            var offset = 0
            func take(_ text: String) -> mcore_slice {
                let count = text.utf8.count
                defer { offset += count }
                return mcore_slice(data: arena.baseAddress.map { $0 + offset }, len: count)
            }
            let raw = nodes.nodes.map { node in
                mcore_node(
                    id: take(node.id), address: take(node.address),
                    weight: UInt32(clamping: node.weight), draining: node.isDraining ? 1 : 0)
            }
            return raw.withUnsafeBufferPointer {
                mcore_target_update(target, $0.baseAddress, $0.count)
            }
        }
        try check(status, "client", "balance \(key) over \(nodes.nodes.map(\.address))")
    }

    /// Starts a call on a target that was given nodes. `done` runs once, on the loop, later.
    func start(
        _ key: String, _ plan: CallPlan, _ done: @escaping (CallOutcome) -> Void
    ) throws(MicroError) -> UInt64 {
        guard !isClosed, let target = targets[key] else {
            throw MicroError("client", .unavailable, "the client is closed")
        }
        let box = Unmanaged.passRetained(ResultBox(done))
        var id: UInt64 = 0
        let status = plan.withRaw { plan in
            mcore_client_start(raw, target.pointer, plan, callEnded, box.toOpaque(), &id)
        }
        if status < 0 { box.release() }
        try check(status, "client", "call \(plan.path)")
        return id
    }

    // MARK: Streams

    /// Starts a call with many messages on a target that was given nodes. `watcher` is kept until
    /// it was told the end; nothing is told before this returns.
    func open(
        _ key: String, _ plan: CallPlan, _ watcher: ClientStreamWatcher
    ) throws(MicroError) -> UInt64 {
        guard !isClosed, let target = targets[key] else {
            throw MicroError("client", .unavailable, "the client is closed")
        }
        let retained = Unmanaged.passRetained(watcher)
        var id: UInt64 = 0
        let status = plan.withRaw { plan in
            mcore_client_open_stream(
                raw, target.pointer, plan, clientStreamEvents.pointer, retained.toOpaque(), &id)
        }
        if status < 0 { retained.release() }
        try check(status, "client", "call \(plan.path)")
        return id
    }

    /// Queues one message of a stream.
    func send(_ message: [UInt8], isCompressed: Bool, on id: UInt64) -> CoreStatus {
        guard !isDestroyed else { return .notFound }
        return withCoreMessage(message, isCompressed: isCompressed) {
            CoreStatus(raw: mcore_client_send(raw, id, $0))
        }
    }

    /// Says that no message of a stream follows.
    func finishSending(on id: UInt64) -> CoreStatus {
        isDestroyed ? .notFound : CoreStatus(raw: mcore_client_send_end(raw, id))
    }

    /// Whether it makes sense to send more on a stream.
    func isWritable(_ id: UInt64) -> Bool { isDestroyed || mcore_client_writable(raw, id) != 0 }

    /// Asks for the next message of a stream.
    func receive(on id: UInt64) -> CoreStatus {
        isDestroyed ? .notFound : CoreStatus(raw: mcore_client_receive(raw, id))
    }

    // MARK: The end

    /// Ends a call, if it has not ended yet.
    func cancel(_ id: UInt64) {
        guard !isDestroyed else { return }
        _ = mcore_client_cancel(raw, id)
    }

    /// Takes no new calls, waits for those in flight, frees everything, then calls `done`.
    func close(grace: Duration, _ done: @escaping @Sendable () -> Void) {
        if isDestroyed { return done() }
        whenClosed.append(done)
        if isClosed { return }
        isClosed = true
        targets = [:]
        let client = Unmanaged.passRetained(self)
        let status = mcore_client_close(
            raw, UInt64(grace.clampedMilliseconds), clientClosed, client.toOpaque())
        if status < 0 {
            client.release()
            tellClosed()
        }
    }

    /// The core is still on the stack when it says that it is closed.
    fileprivate func destroyLater() {
        let accepted = loop.execute {
            self.isDestroyed = true
            mcore_client_destroy(self.raw)
            self.tellClosed()
        }
        if !accepted { tellClosed() }
    }

    private func tellClosed() {
        let waiting = whenClosed
        whenClosed = []
        for done in waiting { done() }
    }
}

extension CallPlan {
    fileprivate func withRaw<T>(_ body: (UnsafePointer<mcore_call_plan>) -> T) -> T {
        var path = path
        var contentType = contentType
        return metadata.withHeaders { headers, headerCount in
            path.withUTF8 { path in
                contentType.withUTF8 { contentType in
                    self.body.withUnsafeBytes { message in
                        var raw = mcore_call_plan()
                        raw.struct_size = UInt32(MemoryLayout<mcore_call_plan>.size)
                        raw.attempts_max = UInt32(clamping: attemptsMax)
                        raw.path = mcore_slice(UnsafeRawBufferPointer(path))
                        raw.content_type = mcore_slice(UnsafeRawBufferPointer(contentType))
                        raw.body = mcore_slice(message)
                        raw.metadata = headers
                        raw.metadata_count = headerCount
                        raw.timeout_ns = timeout?.unsignedNanoseconds ?? 0
                        raw.attempt_timeout_ns = attemptTimeout?.unsignedNanoseconds ?? 0
                        raw.idempotent = isIdempotent ? 1 : 0
                        raw.wait_for_ready = waitsForReady ? 1 : 0
                        raw.streaming = kind.raw
                        raw.body_flags = messageFlags(isCompressed: isCompressed)
                        return body(&raw)
                    }
                }
            }
        }
    }
}

extension CallOutcome {
    fileprivate init(_ raw: mcore_result) {
        let count = Int(raw.metadata_count)
        let headerCount = min(count, Int(raw.header_count))
        self.init(
            code: raw.rpc_code, transport: CoreStatus(raw: raw.transport),
            wasWritten: raw.written != 0, attempts: Int(raw.attempts),
            retriesUnwritten: Int(raw.retries_unwritten),
            retriesIdempotent: Int(raw.retries_idempotent),
            node: String(raw.node_id), message: String(raw.message),
            details: [UInt8](raw.details), contentType: String(raw.content_type),
            body: [UInt8](raw.body),
            wasCompressed: raw.body_flags & UInt32(MCORE_MESSAGE_COMPRESSED) != 0,
            headers: Metadata(raw.metadata, count: headerCount),
            trailers: Metadata(
                raw.metadata.map { $0 + headerCount }, count: count - headerCount))
    }
}

private final class ResultBox {
    let done: (CallOutcome) -> Void
    init(_ done: @escaping (CallOutcome) -> Void) { self.done = done }
}

private let callEnded: mcore_result_fn = { box, result in
    guard let box, let result else { return }
    Unmanaged<ResultBox>.fromOpaque(box).takeRetainedValue().done(CallOutcome(result.pointee))
}

/// Told of the messages of a stream. On the stream's loop.
class ClientStreamWatcher: @unchecked Sendable {  // used on its loop only
    /// The response headers, and how the messages are written.
    func receivedHead(_ metadata: Metadata, contentType: String) {}
    /// The message that was asked for, borrowed.
    func received(_ message: RawSpan, wasCompressed: Bool) {}
    /// More can be sent again.
    func becameWritable() {}
    /// The last that is told.
    func ended(_ outcome: CallOutcome) {}
}

/// The table of functions for the core, at an address that stays.
private struct ClientStreamEvents: @unchecked Sendable {  // not changed once it is made
    let pointer: UnsafeMutablePointer<mcore_stream_events>

    init() {
        pointer = .allocate(capacity: 1)
        var events = mcore_stream_events()
        events.struct_size = UInt32(MemoryLayout<mcore_stream_events>.size)
        events.on_head = { watcher, head in
            guard let head = head?.pointee else { return }
            ClientStreamEvents.watcher(watcher)?.receivedHead(
                Metadata(head.metadata, count: Int(head.metadata_count)),
                contentType: String(head.content_type))
        }
        events.on_message = { watcher, message in
            message?.pointee.withBytes {
                ClientStreamEvents.watcher(watcher)?.received($0, wasCompressed: $1)
            }
        }
        events.on_writable = { ClientStreamEvents.watcher($0)?.becameWritable() }
        events.on_end = { watcher, result in
            guard let watcher, let result else { return }
            Unmanaged<ClientStreamWatcher>.fromOpaque(watcher).takeRetainedValue()
                .ended(CallOutcome(result.pointee))
        }
        pointer.initialize(to: events)
    }

    private static func watcher(_ ctx: UnsafeMutableRawPointer?) -> ClientStreamWatcher? {
        ctx.map { Unmanaged<ClientStreamWatcher>.fromOpaque($0).takeUnretainedValue() }
    }
}

private let clientStreamEvents = ClientStreamEvents()

private let clientClosed: @convention(c) (UnsafeMutableRawPointer?) -> Void = { client in
    guard let client else { return }
    Unmanaged<LoopClient>.fromOpaque(client).takeRetainedValue().destroyLater()
}

/// The ways to pick a node.
enum PickPolicy {
    static let random = UInt32(MCORE_PICK_RANDOM)
    static let roundRobin = UInt32(MCORE_PICK_ROUND_ROBIN)
    static let p2c = UInt32(MCORE_PICK_P2C)
}
