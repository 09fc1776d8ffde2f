internal import CMicroCore

/// The limits of message sockets, as the core takes them.
struct MessengerLimits: Sendable {
    var headerBytes = 16 << 10
    var headerCount = 128
    var bodyBytes = 4 << 20
    var socketsPerLoop = 10_000
    var unsentBytes = 64 << 10
    var prefaceTimeout: Duration = .seconds(5)
    var closeTimeout: Duration = .seconds(10)
}

/// The message sockets of one loop. Its sockets and listeners keep it; without them it ends.
final class LoopMessenger: Sendable {
    let loop: EventLoop
    private let pointer: CorePointer
    private let transports: Transports

    private init(loop: EventLoop, pointer: CorePointer, transports: Transports) {
        self.loop = loop
        self.pointer = pointer
        self.transports = transports
    }

    static func create(
        on loop: EventLoop, limits: MessengerLimits, transports: Transports
    ) async throws -> LoopMessenger {
        try await loop.run {
            var options = mcore_messenger_options()
            mcore_messenger_options_default(&options)
            options.header_bytes_max = UInt32(clamping: limits.headerBytes)
            options.header_count_max = UInt32(clamping: limits.headerCount)
            options.body_bytes_max = UInt32(clamping: limits.bodyBytes)
            options.sockets_max = UInt32(clamping: limits.socketsPerLoop)
            options.unsent_bytes_max = UInt32(clamping: limits.unsentBytes)
            options.preface_timeout_ms = limits.prefaceTimeout.clampedMilliseconds
            options.close_timeout_ms = limits.closeTimeout.clampedMilliseconds
            var created: OpaquePointer?
            try check(
                mcore_messenger_create(loop.raw, &options, &created), "transport",
                "make message sockets")
            guard let created else {
                throw MicroError("transport", .internal, "the core made no messenger")
            }
            return LoopMessenger(
                loop: loop, pointer: CorePointer(raw: created), transports: transports)
        }
    }

    deinit {
        let (pointer, tables) = (pointer, LentTables(transports))
        loop.execute {
            mcore_messenger_close(
                pointer.raw, giveBackTables, Unmanaged.passRetained(tables).toOpaque())
        }
    }

    /// Connects `socket`, which is told what comes of it, and nothing when this throws. On the
    /// loop.
    ///
    /// - Parameter tls: For addresses with TLS.
    func dial(
        _ socket: LoopSocket, _ address: TransportAddress, tls: TLSContext?, timeout: Duration
    ) throws(MicroError) {
        let table = try transports.table(for: address, tls: tls)
        let retained = Unmanaged.passRetained(socket)
        var raw: OpaquePointer?
        let status = mcore_messenger_dial(
            pointer.raw, table, address.rest, UInt64(timeout.clampedMilliseconds),
            messageEvents.pointer, retained.toOpaque(), &raw)
        if status < 0 { retained.release() }
        try checkTransport(status, "connect to \(address)")
        socket.raw = raw
    }

    /// Listens, and returns the address that was bound, with its scheme. `listener` is told
    /// nothing when this throws. On the loop.
    func listen(
        _ listener: LoopListener, _ address: TransportAddress, tls: TLSContext?
    ) throws(MicroError) -> TransportAddress {
        let table = try transports.table(for: address, tls: tls)
        let retained = Unmanaged.passRetained(listener)
        var raw: OpaquePointer?
        let (status, bound) = withDetail {
            mcore_messenger_listen(
                self.pointer.raw, table, address.rest, messageEvents.pointer, retained.toOpaque(),
                &raw, $0, $1)
        }
        if status < 0 { retained.release() }
        try checkTransport(status, "listen on \(address)")
        listener.raw = raw
        guard !bound.isEmpty else {
            listener.close()
            throw MicroError.failedPrecondition(
                "transport",
                "the transport of \(address) does not say where it listens: "
                    + "give an address that is not empty", reason: "INVALID")
        }
        return TransportAddress(scheme: address.scheme, rest: bound)
    }
}

/// Tables of transports have to stay until the core has destroyed what it made of them.
private final class LentTables: Sendable {
    let transports: Transports
    init(_ transports: Transports) { self.transports = transports }
}

private let giveBackTables: mcore_job = { tables in
    guard let tables else { return }
    Unmanaged<LentTables>.fromOpaque(tables).release()
}

private func checkTransport(
    _ status: mcore_status, _ what: @autoclosure () -> String
) throws(MicroError) {
    guard status < 0 else { return }
    let status = CoreStatus(raw: status)
    throw MicroError(
        "transport", status.code, "\(what()): \(status.textWithLastWords)",
        reason: status.transportReason)
}

extension CoreStatus {
    /// For programs: why a socket could not be opened, or has ended.
    var transportReason: String {
        switch raw {
        case Int32(MCORE_EACCES): "ACCESS_DENIED"
        case Int32(MCORE_EADDRINUSE): "ADDRESS_IN_USE"
        case Int32(MCORE_ECONNREFUSED), Int32(MCORE_ENOENT): "NOBODY_LISTENS"
        case Int32(MCORE_EINVAL): "INVALID"
        case Int32(MCORE_ELIMIT), Int32(MCORE_ENOMEM), Int32(MCORE_EMFILE): "LIMIT"
        case Int32(MCORE_EPLUGIN): "PLUGIN"
        case Int32(MCORE_EPROTO): "PROTOCOL"
        case Int32(MCORE_ETIMEDOUT): "TIMEOUT"
        case Int32(MCORE_ETLS): "TLS"
        case Int32(MCORE_ECLOSED), Int32(MCORE_ECANCELED): "CLOSED"
        default: "DISCONNECTED"
        }
    }
}

// MARK: - What the core tells

/// One message socket. A subclass is told what happens to it. Everything on its loop.
class LoopSocket: @unchecked Sendable {  // see above
    let messenger: LoopMessenger
    var loop: EventLoop { messenger.loop }
    /// nil before it was dialled, and when it has ended.
    fileprivate var raw: OpaquePointer?

    init(of messenger: LoopMessenger) { self.messenger = messenger }

    /// A dialled socket is open.
    func opened() {}
    /// The message that was asked for.
    func received(_ header: Metadata, _ body: [UInt8]) {}
    /// Instead of it: the peer sends no more.
    func receivedEnd() {}
    /// Messages are taken again.
    func becameWritable() {}
    /// The last that is told. `ok` is the end of an orderly close.
    func ended(_ status: CoreStatus, _ text: String) {}

    /// Queues a message; on an error nothing was, and the text says why.
    final func send(_ header: Metadata, _ body: [UInt8]) -> (CoreStatus, String) {
        guard let raw else { return (.closed, "the socket is closed") }
        let (status, detail) = withDetail { detail, size in
            header.withHeaders { headers, count in
                body.withUnsafeBytes { bytes in
                    var message = mcore_socket_message(
                        struct_size: UInt32(MemoryLayout<mcore_socket_message>.size),
                        header_count: UInt32(clamping: count), headers: headers,
                        body: mcore_slice(bytes))
                    return mcore_message_socket_send(raw, &message, detail, size)
                }
            }
        }
        return (CoreStatus(raw: status), detail)
    }

    /// Asks for one message, or the end.
    final func receive() -> CoreStatus {
        guard let raw else { return .closed }
        return CoreStatus(raw: mcore_message_socket_receive(raw))
    }

    /// - Parameter isAbort: Whether what was sent is dropped.
    final func close(isAbort: Bool) {
        if let raw { mcore_message_socket_close(raw, isAbort ? 1 : 0) }
    }

    /// What the transport calls the other side; may be empty.
    final var peer: String { raw.map { String(mcore_message_socket_peer($0)) } ?? "" }

    /// Whom its certificate says that the other side is.
    final var identity: PeerIdentity? {
        var security = mcore_security()
        security.struct_size = UInt32(MemoryLayout<mcore_security>.size)
        guard let raw, mcore_message_socket_security(raw, &security) >= 0 else { return nil }
        return PeerIdentity(security)
    }
}

/// A listener of message sockets. A subclass is told what happens to it. Everything on its loop.
class LoopListener: @unchecked Sendable {  // see above
    let messenger: LoopMessenger
    var loop: EventLoop { messenger.loop }
    fileprivate var raw: OpaquePointer?

    init(of messenger: LoopMessenger) { self.messenger = messenger }

    /// A place for a peer that has connected; nil refuses it.
    func accept() -> LoopSocket? { nil }
    /// The socket that was given for it is open.
    func accepted(_ socket: LoopSocket) {}
    /// The last that is told.
    func ended() {}

    /// Takes no connections any more.
    final func close() {
        if let raw { mcore_message_listener_close(raw) }
    }
}

/// The table of functions for the core, at an address that stays.
private struct MessageEvents: @unchecked Sendable {  // not changed once it is made
    let pointer: UnsafeMutablePointer<mcore_message_events>

    init() {
        pointer = .allocate(capacity: 1)
        var events = mcore_message_events()
        events.struct_size = UInt32(MemoryLayout<mcore_message_events>.size)
        events.on_open = { ctx, _ in MessageEvents.socket(ctx)?.opened() }
        events.on_accept = { ctx, raw in
            guard let ctx else { return nil }
            let listener = Unmanaged<LoopListener>.fromOpaque(ctx).takeUnretainedValue()
            guard let socket = listener.accept() else { return nil }
            socket.raw = raw
            let retained = Unmanaged.passRetained(socket).toOpaque()
            listener.accepted(socket)
            return retained
        }
        events.on_message = { ctx, _, message in
            guard let message = message?.pointee else { return }
            MessageEvents.socket(ctx)?.received(
                Metadata(message.headers, count: Int(message.header_count)),
                [UInt8](message.body))
        }
        events.on_end = { ctx, _ in MessageEvents.socket(ctx)?.receivedEnd() }
        events.on_writable = { ctx, _ in MessageEvents.socket(ctx)?.becameWritable() }
        events.on_closed = { ctx, _, why, text in
            guard let ctx else { return }
            let socket = Unmanaged<LoopSocket>.fromOpaque(ctx).takeRetainedValue()
            socket.raw = nil
            socket.ended(CoreStatus(raw: why), text.map { String(cString: $0) } ?? "")
        }
        events.on_listener_closed = { ctx, _ in
            guard let ctx else { return }
            let listener = Unmanaged<LoopListener>.fromOpaque(ctx).takeRetainedValue()
            listener.raw = nil
            listener.ended()
        }
        pointer.initialize(to: events)
    }

    private static func socket(_ ctx: UnsafeMutableRawPointer?) -> LoopSocket? {
        ctx.map { Unmanaged<LoopSocket>.fromOpaque($0).takeUnretainedValue() }
    }
}

private let messageEvents = MessageEvents()
