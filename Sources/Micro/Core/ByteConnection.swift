internal import CMicroCore
internal import Synchronization

/// How a connection of bytes is made, and what it holds at most.
package struct ByteConnectionOptions: Sendable {
    /// For the connection and the handshake of TLS.
    package var connectTimeout: Duration = .seconds(5)
    /// Within it the peer has to take what was sent before an orderly close.
    package var closeTimeout: Duration = .seconds(5)
    /// When so many bytes wait, no more are taken.
    package var unsentBytes = 1 << 20

    package init() {}
}

/// What a ``ByteConnection`` tells, on the thread of its loop and never inside of its functions.
package protocol ByteConnectionObserver: AnyObject, Sendable {
    /// The connection is there.
    func opened()
    /// Bytes have come, in order, in pieces of any size.
    func received(_ bytes: RawSpan)
    /// The peer sends no more. The connection stays until it is closed.
    ///
    /// - Parameter isTruncated: TLS says that the end was not meant to be one.
    func receivedEnd(isTruncated: Bool)
    /// Bytes are taken again.
    func becameWritable()
    /// The last that is told. nil: it was closed, and what was sent is delivered.
    func ended(_ error: MicroError?)
}

/// A client's connection of bytes over any transport, on one loop.
///
/// Its functions may be called on any thread, also while a lock is held that the observer takes:
/// nothing calls back inside of them.
package final class ByteConnection: @unchecked Sendable {  // `raw`, `observer`: the loop's
    private struct Outgoing {
        var bytes: [UInt8] = []
        var isScheduled = false
        /// A send was refused, and its sender waits to be told.
        var isChoked = false
        /// What waits is the last.
        var isClosing = false
    }

    private let loop: EventLoop
    private let address: TransportAddress
    private let options: ByteConnectionOptions
    private let tables: LentByteTables
    private let outgoing = Mutex(Outgoing())
    private var observer: (any ByteConnectionObserver)?
    private var raw: OpaquePointer?
    /// Of an orderly close, as long as the core takes no more.
    private var closeAlarm: LoopAlarm?

    /// Made by ``ByteDialer``; ``dial()`` follows.
    ///
    /// - Parameter tls: For addresses with TLS.
    init(
        to address: TransportAddress, tls: TLSContext?, transports: Transports,
        options: ByteConnectionOptions, on loop: EventLoop,
        observer: any ByteConnectionObserver
    ) {
        self.loop = loop
        self.address = address
        self.options = options
        self.tables = LentByteTables(transports: transports, tls: tls)
        self.observer = observer
    }

    /// Begins to connect. On the loop.
    func dial() {
        do {
            try connect()
        } catch {
            let observer = self.observer.take()
            // Not inside: whoever opens it may hold a lock.
            loop.execute { observer?.ended(error) }
        }
    }

    private func connect() throws(MicroError) {
        let table = try tables.transports.table(for: address, tls: tables.tls)
        var core = mcore_byte_options()
        mcore_byte_options_default(&core)
        core.connect_timeout_ms = UInt64(max(1, options.connectTimeout.clampedMilliseconds))
        core.close_timeout_ms = UInt64(max(1, options.closeTimeout.clampedMilliseconds))
        let retained = Unmanaged.passRetained(self)
        let status = mcore_byte_connection_open(
            loop.raw, table, address.rest, &core, byteEvents.pointer, retained.toOpaque(), &raw)
        guard status < 0 else { return }
        retained.release()
        let failure = CoreStatus(raw: status)
        throw MicroError(
            "transport", failure.code, "connect to \(address): \(failure.textWithLastWords)",
            reason: failure.transportReason)
    }

    // MARK: Sending

    /// Queues bytes, also before it is open: all of them or none. Any thread.
    ///
    /// - Returns: false when so many bytes wait already that these were not taken; the observer is
    ///   told when it would. Behind a close, and when it has ended, bytes are taken and dropped.
    package func send(_ bytes: [UInt8]) -> Bool {
        let (isTaken, isFirst) = outgoing.withLock { outgoing in
            if outgoing.isClosing { return (true, false) }
            guard outgoing.bytes.count < options.unsentBytes else {
                outgoing.isChoked = true
                return (false, false)
            }
            if outgoing.bytes.isEmpty {
                outgoing.bytes = bytes
            } else {
                outgoing.bytes += bytes
            }
            defer { outgoing.isScheduled = true }
            return (true, !outgoing.isScheduled)
        }
        if isFirst { loop.execute { self.flush() } }
        return isTaken
    }

    /// Hands what waits to the core, which sends it at the end of the turn.
    private func flush() {
        let isWritableAgain = outgoing.withLock { outgoing in
            outgoing.isScheduled = false
            guard let raw else {
                outgoing.bytes = []
                return false
            }
            if !outgoing.bytes.isEmpty {
                let status = outgoing.bytes.withUnsafeBytes { bytes in
                    var slice = mcore_slice(bytes)
                    return mcore_byte_connection_send(raw, &slice, 1)
                }
                if status == MCORE_EBUSY {
                    outgoing.isScheduled = true  // until the core says that it is writable
                    return false
                }
                outgoing.bytes = []
                // Whatever else it is, a peer must not see the bytes behind those that are missing.
                if status < 0 { mcore_byte_connection_close(raw, 1) }
            }
            if outgoing.isClosing { mcore_byte_connection_close(raw, 0) }
            defer { outgoing.isChoked = false }
            return outgoing.isChoked
        }
        if isWritableAgain { observer?.becameWritable() }
    }

    /// Stops the peer, or lets it go on. Any thread.
    package func setReading(_ isOn: Bool) {
        loop.executeNow {
            // An error is one that the observer is told about.
            if let raw = self.raw { _ = mcore_byte_connection_set_reading(raw, isOn ? 1 : 0) }
        }
    }

    /// Closes it; the observer is told when it has ended. Any thread; idempotent.
    ///
    /// - Parameter isAbort: Whether what was sent is dropped.
    package func close(isAbort: Bool = true) {
        outgoing.withLock { $0.isClosing = true }
        loop.execute {
            guard let raw = self.raw else { return }
            if isAbort { return mcore_byte_connection_close(raw, 1) }
            self.flush()
            guard self.closeAlarm == nil, self.outgoing.withLock({ !$0.bytes.isEmpty }) else {
                return
            }
            self.closeAlarm = try? LoopAlarm(on: self.loop, after: self.options.closeTimeout) {
                if let raw = self.raw { mcore_byte_connection_close(raw, 1) }
            }
        }
    }

    // MARK: What the core tells

    fileprivate func opened() { observer?.opened() }

    fileprivate func received(_ slices: UnsafeBufferPointer<mcore_slice>) {
        for slice in slices {
            observer?.received(
                UnsafeRawBufferPointer(start: slice.data, count: slice.len).bytes)
        }
    }

    fileprivate func receivedEnd(isTruncated: Bool) {
        observer?.receivedEnd(isTruncated: isTruncated)
    }

    fileprivate func becameWritable() { flush() }

    fileprivate func ended(_ status: CoreStatus, _ text: String) {
        raw = nil
        closeAlarm?.stop()
        outgoing.withLock { $0.bytes = [] }
        let observer = self.observer.take()
        // The core destroys its instance of the transport after this.
        let tables = self.tables
        loop.execute { withExtendedLifetime(tables) {} }
        observer?.ended(status == .ok ? nil : error(status, text))
    }

    private func error(_ status: CoreStatus, _ text: String) -> MicroError {
        let code: MicroError.Code =
            switch status.code {
            case .invalidArgument, .resourceExhausted, .cancelled, .deadlineExceeded: status.code
            default: .unavailable
            }
        return MicroError(
            "transport", code, "\(address): \(text)", reason: status.transportReason)
    }
}

/// Tables of transports have to stay until the core has destroyed what it made of them.
private final class LentByteTables: Sendable {
    let transports: Transports
    let tls: TLSContext?

    init(transports: Transports, tls: TLSContext?) {
        self.transports = transports
        self.tls = tls
    }
}

/// The table of functions for the core, at an address that stays.
private struct ByteEvents: @unchecked Sendable {  // not changed once it is made
    let pointer: UnsafeMutablePointer<mcore_byte_events>

    init() {
        pointer = .allocate(capacity: 1)
        var events = mcore_byte_events()
        events.struct_size = UInt32(MemoryLayout<mcore_byte_events>.size)
        events.on_open = { ctx, _ in ByteEvents.connection(ctx)?.opened() }
        events.on_data = { ctx, _, slices, count in
            ByteEvents.connection(ctx)?.received(
                UnsafeBufferPointer(start: slices, count: Int(count)))
        }
        events.on_end = { ctx, _, truncated in
            ByteEvents.connection(ctx)?.receivedEnd(isTruncated: truncated != 0)
        }
        events.on_writable = { ctx, _ in ByteEvents.connection(ctx)?.becameWritable() }
        events.on_closed = { ctx, _, why, text in
            guard let ctx else { return }
            Unmanaged<ByteConnection>.fromOpaque(ctx).takeRetainedValue()
                .ended(CoreStatus(raw: why), text.map { String(cString: $0) } ?? "")
        }
        pointer.initialize(to: events)
    }

    private static func connection(_ ctx: UnsafeMutableRawPointer?) -> ByteConnection? {
        ctx.map { Unmanaged<ByteConnection>.fromOpaque($0).takeUnretainedValue() }
    }
}

private let byteEvents = ByteEvents()
