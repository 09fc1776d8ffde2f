internal import CMicroCore
internal import Synchronization

/// The limits of a server, as the core takes them.
struct ServerLimits: Sendable {
    var messageBytes = 4 << 20
    var headerListBytes = 16 << 10
    var headerCount = 128
    var streamsPerConnection = 256
    var callsPerLoop = 10_000
    var connectionsPerLoop = 10_000
    var prefaceTimeout: Duration = .seconds(5)
    var headerTimeout: Duration = .seconds(5)
    var bodyTimeout: Duration = .seconds(30)
    var idleTimeout: Duration = .seconds(300)
    var writeTimeout: Duration = .seconds(10)
    var outputBytes = 1 << 20
    var pingIntervalMin: Duration = .seconds(10)
    /// Zero: nothing is shed.
    var shedDelay: Duration = .zero
    var shedInterval: Duration = .milliseconds(500)
}

/// What a server has done, summed over its loops.
struct ServerCounts: Sendable {
    var connections = 0
    var calls = 0
    var connectionsTotal: UInt64 = 0
    var callsTotal: UInt64 = 0
    var callsRefused: UInt64 = 0
    var callsShed: UInt64 = 0
    var isOverloaded = false
    var protocolErrors: UInt64 = 0
}

/// How the drain of a server on one loop went.
struct DrainCounts: Sendable {
    var connections = 0
    var finished = 0
    var finishedStreams = 0
    var aborted = 0
    /// Handlers that still run.
    var running = 0
    var took: Duration = .zero
}

/// The part of a server that lives on one loop.
final class LoopServer: Sendable {
    let loop: EventLoop
    private let pointer: CorePointer
    private let routes: HandlerTable  // the handlers' contexts
    private let transports: Transports  // live as long as their connections
    /// Of a drain that nobody waits for any more; it is freed then.
    private let lastCounts = Mutex<DrainCounts?>(nil)

    private init(
        loop: EventLoop, pointer: CorePointer, routes: HandlerTable, transports: Transports
    ) {
        self.loop = loop
        self.pointer = pointer
        self.routes = routes
        self.transports = transports
    }

    static func create(
        on loop: EventLoop, routes: HandlerTable, limits: ServerLimits, limiter: CoreLimiter? = nil,
        name: String, transports: Transports
    ) async throws -> LoopServer {
        try await loop.run {
            var options = mcore_server_options()
            mcore_server_options_default(&options)
            options.message_bytes_max = UInt32(clamping: limits.messageBytes)
            options.header_list_bytes_max = UInt32(clamping: limits.headerListBytes)
            options.header_count_max = UInt32(clamping: limits.headerCount)
            options.streams_max = UInt32(clamping: limits.streamsPerConnection)
            options.calls_max = UInt32(clamping: limits.callsPerLoop)
            options.connections_max = UInt32(clamping: limits.connectionsPerLoop)
            options.preface_timeout_ms = limits.prefaceTimeout.clampedMilliseconds
            options.header_timeout_ms = limits.headerTimeout.clampedMilliseconds
            options.body_timeout_ms = limits.bodyTimeout.clampedMilliseconds
            options.idle_timeout_ms = limits.idleTimeout.clampedMilliseconds
            options.write_timeout_ms = limits.writeTimeout.clampedMilliseconds
            options.output_bytes_max = UInt32(clamping: limits.outputBytes)
            options.ping_interval_min_ms = limits.pingIntervalMin.clampedMilliseconds
            options.shed_delay_ms = limits.shedDelay.clampedMilliseconds
            options.shed_interval_ms = limits.shedInterval.clampedMilliseconds
            options.limiter = limiter?.pointer.raw
            var created: OpaquePointer?
            var name = name
            let status = name.withUTF8 { bytes in
                options.server_name = mcore_slice(UnsafeRawBufferPointer(bytes))
                return mcore_server_create(loop.raw, routes.pointer.raw, &options, &created)
            }
            try check(status, "server", "create the server")
            guard let created else {
                throw MicroError("server", .internal, "the core made no server")
            }
            return LoopServer(
                loop: loop, pointer: CorePointer(raw: created), routes: routes,
                transports: transports)
        }
    }

    /// Connections that this one accepts are spread over `peers`.
    func setPeers(_ peers: [LoopServer]) async throws {
        try await loop.run {
            let raw: [OpaquePointer?] = peers.map { $0.pointer.raw }
            try raw.withUnsafeBufferPointer {
                try check(
                    mcore_server_set_peers(self.pointer.raw, $0.baseAddress, $0.count),
                    "server", "spread connections over loops")
            }
        }
    }

    /// Listens and returns the address that was bound, with its scheme.
    ///
    /// - Parameter tls: For addresses with TLS.
    func listen(on address: TransportAddress, tls: TLSContext? = nil) async throws -> String {
        try await loop.run {
            let transport = try self.transports.table(for: address, tls: tls)
            let (status, text) = withDetail { bound, size in
                mcore_server_listen(self.pointer.raw, transport, address.rest, bound, size)
            }
            if status < 0 { throw LoopServer.cannotListen(on: address, status) }
            guard !text.isEmpty else {
                throw MicroError.failedPrecondition(
                    "server",
                    "the transport of \(address) does not say where it listens: "
                        + "give an address that is not empty")
            }
            return "\(address.scheme)://\(text)"
        }
    }

    /// With what a plugin had to say about it.
    private static func cannotListen(
        on address: TransportAddress, _ status: mcore_status
    ) -> MicroError {
        let status = CoreStatus(raw: status)
        return MicroError(
            "server", status.code, "listen on \(address): \(status.textWithLastWords)")
    }

    /// Drains in the order that `mcore_server_drain` describes.
    ///
    /// - Parameters:
    ///   - grace: How long calls in flight are waited for before they are cut off.
    ///   - patience: How long handlers that were cut off are waited for.
    /// - Returns: How it went; nil when handlers go on all the same: then the server must not be
    ///   destroyed, which is done when they have ended.
    func drain(
        grace: Duration, patience: Duration, environment: Environment
    ) async throws -> DrainCounts? {
        let box = DrainBox(of: self)
        let clock = environment.clock
        let end = clock.now.advanced(by: grace).advanced(by: patience)
        let limit = environment.spawn {
            guard (try? await clock.sleep(until: end)) != nil else { return }
            box.finish(.success(nil))
        }
        defer { limit.cancel() }
        return try await withCheckedThrowingContinuation { continuation in
            box.wait(continuation)
            let accepted = loop.execute {
                let retained = Unmanaged.passRetained(box).toOpaque()
                let status = mcore_server_drain(
                    self.pointer.raw, UInt64(grace.clampedMilliseconds), drained, retained)
                if status < 0 {
                    Unmanaged<DrainBox>.fromOpaque(retained).release()
                    box.fail(MicroError("server", CoreStatus(raw: status).code, "drain the server"))
                }
            }
            if !accepted {
                box.fail(MicroError("server", .unavailable, "the event loop has ended"))
            }
        }
    }

    /// How its drain goes.
    func drainCounts() async throws -> DrainCounts {
        // It may have ended since somebody gave up waiting for it.
        try await loop.run { self.lastCounts.withLock { $0 } ?? self.drainCountsHere() }
    }

    /// On the loop.
    fileprivate func drainCountsHere() -> DrainCounts {
        var raw = mcore_drain_report()
        raw.struct_size = UInt32(MemoryLayout<mcore_drain_report>.size)
        mcore_server_read_drain(pointer.raw, &raw)
        return DrainCounts(
            connections: Int(raw.connections), finished: Int(raw.calls_finished),
            finishedStreams: Int(raw.streams_finished), aborted: Int(raw.cut),
            running: Int(raw.running), took: .nanoseconds(Int64(clamping: raw.took_ns)))
    }

    /// Frees it, after it was drained or when it never listened.
    func destroy() async throws {
        try await loop.run { mcore_server_destroy(self.pointer.raw) }
    }

    fileprivate func destroyLater() {
        loop.execute {
            self.lastCounts.withLock { $0 = self.drainCountsHere() }
            mcore_server_destroy(self.pointer.raw)
        }
    }

    /// Any thread, before ``destroy()``.
    func counts() -> ServerCounts {
        var raw = mcore_server_stats()
        raw.struct_size = UInt32(MemoryLayout<mcore_server_stats>.size)
        mcore_server_read_stats(pointer.raw, &raw)
        return ServerCounts(
            connections: Int(raw.connections), calls: Int(raw.calls),
            connectionsTotal: raw.connections_total, callsTotal: raw.calls_total,
            callsRefused: raw.calls_refused, callsShed: raw.calls_shed,
            isOverloaded: raw.overloaded != 0, protocolErrors: raw.protocol_errors)
    }
}

/// The end of a drain, or of the patience with it: whichever is first.
private final class DrainBox: Sendable {
    /// Lives, with the handlers of its routes, until the core is done with it.
    private let server: LoopServer
    private let continuation = Mutex<CheckedContinuation<DrainCounts?, any Error>?>(nil)

    init(of server: LoopServer) { self.server = server }

    func wait(_ continuation: CheckedContinuation<DrainCounts?, any Error>) {
        self.continuation.withLock { $0 = continuation }
    }

    /// - Returns: Whether somebody still waited.
    @discardableResult
    func finish(_ result: Result<DrainCounts?, any Error>) -> Bool {
        guard let continuation = continuation.withLock({ $0.take() }) else { return false }
        continuation.resume(with: result)
        return true
    }

    /// The core is done with the server.
    func drained() {
        if !finish(.success(server.drainCountsHere())) { server.destroyLater() }
    }

    func fail(_ error: MicroError) { finish(.failure(error)) }
}

private let drained: @convention(c) (UnsafeMutableRawPointer?, UInt32) -> Void = { box, _ in
    guard let box else { return }
    Unmanaged<DrainBox>.fromOpaque(box).takeRetainedValue().drained()
}
