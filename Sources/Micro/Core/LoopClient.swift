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
    var reconnectMax: Duration = .seconds(10)
    var probeInterval: Duration = .milliseconds(500)
    var probeTimeout: Duration = .seconds(1)
    var connectPatience: Duration = .milliseconds(500)
    var outputBytes = 4 << 20
    var retryBudgetPercent = 20
    var retryBudgetMin = 10
}

/// One node as the core's balancer knows it.
struct BalancedNode: Sendable, Hashable {
    var id: String
    /// The first one that the client can connect to is used.
    var addresses: [String]
    var weight: Int
    /// It is called only when no other can be: it is about to end, or far away.
    var isDraining: Bool
    var zone = ""
}

/// The nodes of one target at one time. A higher revision is a later state.
struct NodeSet: Sendable {
    var revision: UInt64
    var nodes: [BalancedNode]
    /// Which part of the service's nodes they are, when a rule has chosen.
    var route: String?
}

/// What the balancers of a client are kept apart by: everything that narrows the nodes down.
struct TargetKey: Sendable, Hashable, CustomStringConvertible {
    var service: String
    var version: String?
    /// The one node to call, whatever the service.
    var address: String?
    /// Which part of the service's nodes, when a rule has chosen.
    var route: String?

    /// For people.
    var description: String {
        if let address { return address }
        let name = version.map { "\(service)@\($0)" } ?? service
        return route.map { "\(name) (\($0))" } ?? name
    }
}

/// A balancer over the nodes of a service. Touched on its client's loop.
final class LoopTarget {
    let pointer: OpaquePointer
    /// Of the nodes that it was given; nil before the first.
    fileprivate(set) var revision: UInt64?
    fileprivate(set) var hasNodes = false
    /// Cleared when nothing may be started on it any more.
    fileprivate(set) var isOpen = true

    fileprivate init(_ pointer: OpaquePointer) { self.pointer = pointer }
}

/// The part of a client that lives on one loop: its connections, and a balancer for each target.
/// Everything is called on the loop.
final class LoopClient: @unchecked Sendable {  // its state is touched on its loop only
    typealias MakeTLS = @Sendable () throws(MicroError) -> TLSContext

    let loop: EventLoop
    private let raw: OpaquePointer
    private let makeTLS: MakeTLS
    private let transports: Transports
    /// Schemes beside the built-in ones that the core knows.
    private var added: Set<String> = []
    private var targets: [TargetKey: LoopTarget] = [:]
    let texts = RecentTexts()
    private var isClosed = false
    private var isDestroyed = false
    private var whenClosed: [@Sendable () -> Void] = []

    /// - Parameter tls: Called when the first address with TLS is used.
    init(
        loop: EventLoop, limits: ClientLimits, transports: Transports, tls: @escaping MakeTLS
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
        options.probe_ms = limits.probeInterval.clampedMilliseconds
        options.probe_timeout_ms = limits.probeTimeout.clampedMilliseconds
        options.connect_patience_ms = limits.connectPatience.clampedMilliseconds
        options.output_bytes_max = UInt32(clamping: limits.outputBytes)
        options.retry_budget_percent = UInt32(clamping: limits.retryBudgetPercent)
        options.retry_budget_min = UInt32(clamping: limits.retryBudgetMin)
        var created: OpaquePointer?
        try check(mcore_client_create(loop.raw, &options, &created), "client", "create the client")
        guard let created else { throw MicroError("client", .internal, "the core made no client") }
        self.loop = loop
        self.raw = created
        self.makeTLS = tls
        self.transports = transports
    }

    /// Makes the core know the transport of an address. Plugins win over the built-in ones.
    private func addTransport(of address: TransportAddress) throws(MicroError) {
        guard !added.contains(address.scheme) else { return }
        let isSecure = TransportScheme.below(address.scheme) != nil
        let table = try transports.table(for: address, tls: isSecure ? makeTLS() : nil)
        let isBuiltIn =
            table == mcore_transport_tcp() || table == mcore_transport_unix()
            || table == mcore_transport_memory()
        if !isBuiltIn {
            try check(
                mcore_client_add_transport(raw, address.scheme, table), "client",
                "add the scheme \(address.scheme)")
        }
        added.insert(address.scheme)
    }

    /// Where to connect to a node; nil: it has no address of a transport that is known here.
    private func address(of node: BalancedNode) -> TransportAddress? {
        node.addresses.lazy.map { TransportAddress($0) }
            .first { self.transports.carries($0.scheme) }
    }

    /// What balances over the nodes of `key`, if it was made.
    func target(_ key: TargetKey) -> LoopTarget? { targets[key] }

    /// Makes `key` balance over `nodes`, unless it does already, or over later ones.
    @discardableResult
    func update(
        _ key: TargetKey, to nodes: NodeSet, _ settings: () -> TargetSettings
    ) throws(MicroError) -> LoopTarget {
        let target: LoopTarget
        if let known = targets[key] { target = known } else { target = try open(key, settings()) }
        if let revision = target.revision, revision >= nodes.revision { return target }
        try apply(nodes, to: target, of: key)
        target.revision = nodes.revision
        target.hasNodes = !nodes.nodes.isEmpty
        return target
    }

    private func open(
        _ key: TargetKey, _ settings: TargetSettings
    ) throws(MicroError) -> LoopTarget {
        guard !isClosed else { throw MicroError("client", .unavailable, "the client is closed") }
        // A program that makes up addresses must not grow it; calls that were started go on.
        if targets.count >= LoopClient.targetsMax { closeTargets() }
        var created: OpaquePointer?
        let status = settings.withRaw { mcore_client_open_target(raw, $0, &created) }
        try check(status, "client", "make a balancer")
        guard let created else { throw MicroError("client", .internal, "the core made no target") }
        let target = LoopTarget(created)
        targets[key] = target
        return target
    }

    /// Other settings for the balancers that there are; their nodes and connections stay.
    func configure(_ settings: (TargetKey) -> TargetSettings) throws(MicroError) {
        for (key, target) in targets {
            let status = settings(key).withRaw { mcore_target_configure(target.pointer, $0) }
            try check(status, "client", "balance \(key) in another way")
        }
    }

    /// For the calls to an endpoint.
    func makeGroup(_ settings: CallGroupSettings) throws(MicroError) -> CallGroup {
        guard !isClosed else { throw MicroError("client", .unavailable, "the client is closed") }
        return try CallGroup(on: raw, settings)
    }

    private func closeTargets() {
        for target in targets.values {
            target.isOpen = false
            mcore_target_close(target.pointer)
        }
        targets = [:]
    }

    private static let targetsMax = 4096

    private func apply(
        _ nodes: NodeSet, to target: LoopTarget, of key: TargetKey
    ) throws(MicroError) {
        var reachable: [(node: BalancedNode, address: String)] = []
        for node in nodes.nodes {
            guard let address = address(of: node) else { continue }
            try addTransport(of: address)
            reachable.append((node, address.description))
        }
        if let first = nodes.nodes.first, reachable.isEmpty {
            let addresses = first.addresses.map { TransportAddress($0) }
            throw MicroError.unavailable(
                "client",
                "no node of \(key) has an address that can be connected to: "
                    + addresses.compactMap { self.transports.problem(with: $0) }
                    .joined(separator: "; "))
        }
        var arena: [UInt8] = []
        for (node, address) in reachable {
            arena.append(contentsOf: node.id.utf8)
            arena.append(contentsOf: address.utf8)
            arena.append(contentsOf: node.zone.utf8)
        }
        let status = arena.withUnsafeBytes { arena in
            var offset = 0
            func take(_ text: String) -> mcore_slice {
                let count = text.utf8.count
                defer { offset += count }
                return mcore_slice(data: arena.baseAddress.map { $0 + offset }, len: count)
            }
            let raw = reachable.map { node, address in
                mcore_node(
                    id: take(node.id), address: take(address),
                    weight: UInt32(clamping: node.weight), draining: node.isDraining ? 1 : 0,
                    zone: take(node.zone))
            }
            return raw.withUnsafeBufferPointer {
                mcore_target_update(target.pointer, $0.baseAddress, $0.count)
            }
        }
        try check(status, "client", "balance \(key) over \(reachable.map(\.address))")
    }

    /// Starts a call on a target that was given nodes. `call` is finished later, not in here, and
    /// not when this throws.
    func start(
        _ call: PendingCall, on target: LoopTarget, _ head: CallHead, _ body: [UInt8],
        _ metadata: Metadata, _ plan: CallPlan, in group: CallGroup?
    ) throws(MicroError) {
        guard !isClosed, target.isOpen else {
            throw MicroError("client", .unavailable, "the client is closed")
        }
        let box = Unmanaged.passRetained(call)
        var id: UInt64 = 0
        let status = plan.withRaw(head, body, metadata, group) { plan in
            mcore_client_start(raw, target.pointer, plan, callEnded, box.toOpaque(), &id)
        }
        if status < 0 { box.release() }
        try check(status, "client", "call \(head.path)")
        call.hasStarted(on: self, as: id, revision: target.revision ?? 0)
    }

    // MARK: Streams

    /// Starts a call with many messages on a target that was given nodes. `watcher` is kept until
    /// it was told the end; nothing is told before this returns.
    func open(
        _ watcher: ClientStreamWatcher, on target: LoopTarget, _ head: CallHead, _ body: [UInt8],
        _ metadata: Metadata, _ plan: CallPlan, in group: CallGroup?
    ) throws(MicroError) -> UInt64 {
        guard !isClosed, target.isOpen else {
            throw MicroError("client", .unavailable, "the client is closed")
        }
        watcher.texts = texts
        let retained = Unmanaged.passRetained(watcher)
        var id: UInt64 = 0
        let status = plan.withRaw(head, body, metadata, group) { plan in
            mcore_client_open_stream(
                raw, target.pointer, plan, clientStreamEvents.pointer, retained.toOpaque(), &id)
        }
        if status < 0 { retained.release() }
        try check(status, "client", "call \(head.path)")
        return id
    }

    /// Queues one message of a stream.
    func send(_ message: [UInt8], _ flags: MessageFlags, on id: UInt64) -> CoreStatus {
        guard !isDestroyed else { return .notFound }
        return withCoreMessage(message, flags) {
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
        for target in targets.values { target.isOpen = false }
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

private let callEnded: mcore_result_fn = { box, result in
    guard let box, let result else { return }
    let call = Unmanaged<PendingCall>.fromOpaque(box).takeRetainedValue()
    call.hasEnded(result)
}

/// Told of the messages of a stream. On the stream's loop.
class ClientStreamWatcher: @unchecked Sendable {  // used on its loop only
    fileprivate var texts: RecentTexts?
    /// The response headers, and how the messages are written.
    func receivedHead(_ metadata: Metadata, contentType: String) {}
    /// The message that was asked for, borrowed.
    func received(_ message: RawSpan, wasCompressed: Bool) {}
    /// More can be sent again.
    func becameWritable() {}
    /// The last that is told.
    func ended(_ outcome: CallOutcome) {}

    fileprivate func text(_ slice: mcore_slice) -> String { texts?.string(slice) ?? String(slice) }
}

/// The table of functions for the core, at an address that stays.
private struct ClientStreamEvents: @unchecked Sendable {  // not changed once it is made
    let pointer: UnsafeMutablePointer<mcore_stream_events>

    init() {
        pointer = .allocate(capacity: 1)
        var events = mcore_stream_events()
        events.struct_size = UInt32(MemoryLayout<mcore_stream_events>.size)
        events.on_head = { watcher, head in
            guard let head = head?.pointee, let watcher = ClientStreamEvents.watcher(watcher) else {
                return
            }
            watcher.receivedHead(
                Metadata(head.metadata, count: Int(head.metadata_count)),
                contentType: watcher.text(head.content_type))
        }
        events.on_message = { watcher, message in
            message?.pointee.withBytes {
                ClientStreamEvents.watcher(watcher)?.received($0, wasCompressed: $1)
            }
        }
        events.on_writable = { ClientStreamEvents.watcher($0)?.becameWritable() }
        events.on_end = { watcher, result in
            guard let watcher, let result else { return }
            let retained = Unmanaged<ClientStreamWatcher>.fromOpaque(watcher).takeRetainedValue()
            retained.ended(CallOutcome(result, retained.texts ?? RecentTexts()))
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
