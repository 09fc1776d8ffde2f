/// How a server listens, and the limits that it enforces before it takes memory.
public struct ServerOptions: Sendable {
    /// Where to listen: "tcp://127.0.0.1:8080", "127.0.0.1:0" (any free port), "[::]:8080",
    /// "unix:///run/greeter.sock". Default: any free port of the loopback interface, or with
    /// ``transports`` where the first of them chooses; or what `MICRO_SERVER_ADDRESS` says (several
    /// are separated by commas).
    public var addresses: [String]
    /// What carries addresses of other schemes than those that are built in, and those without a
    /// scheme. Default: what `MICRO_TRANSPORT` says, for the server of a service.
    public var transports: [TransportPlugin] = []
    /// How "tcp" addresses, and those of plugins that are not secure themselves, are encrypted.
    /// Default: not at all.
    public var tls: ServerTLSOptions?
    /// The largest message, in bytes, in either direction. Default 4 MiB.
    public var maxMessageBytes = 4 << 20
    /// The largest header list: the sum of name + value + 32 of all fields. Default 16 KiB.
    public var maxHeaderListBytes = 16 << 10
    /// How many header fields a request may have. Default 128.
    public var maxHeaderCount = 128
    /// Concurrent calls of one connection. Default 256.
    public var maxStreamsPerConnection = 256
    /// Limits of single endpoints, by their names: `["Greeter.Hello": CallLimits(rate: .tokens(100,
    /// per: .seconds(1)))]`. Default: none. See ``Server/setLimits(_:of:)`` for later.
    public var endpointLimits: [String: CallLimits] = [:]
    /// Limits of all endpoints together, but for health and reflection. Default: none.
    public var callLimits = CallLimits()
    /// When calls are refused because there are more than can be served; nil: never. Default: when
    /// each request has waited for 100 ms, for 500 ms.
    public var loadShedding: LoadShedding? = LoadShedding()
    /// Handlers that run at the same time, for each event loop; calls beyond it are refused with
    /// RESOURCE_EXHAUSTED. Default 10,000.
    public var maxCallsPerLoop = 10_000
    /// Open connections, for each event loop; further ones are closed. Default 10,000.
    public var maxConnectionsPerLoop = 10_000
    /// Whether answers are compressed, unless a handler decides otherwise. Requests are read in
    /// either way. Default: none.
    public var compression = Compression.off
    /// From accepting a connection to knowing its protocol. Default 5 s.
    public var prefaceTimeout: Duration = .seconds(5)
    /// From the first to the last byte of a request's headers. Default 5 s.
    public var headerTimeout: Duration = .seconds(5)
    /// Without a byte of an unfinished body. Default 30 s.
    public var bodyTimeout: Duration = .seconds(30)
    /// A connection without a call. Default 5 min.
    public var idleTimeout: Duration = .seconds(300)
    /// Output that the peer does not take. Default 10 s.
    public var writeTimeout: Duration = .seconds(10)
    /// Unsent bytes of a connection beyond which it is not read. Default 1 MiB.
    public var maxOutputBytes = 1 << 20

    /// Whether gRPC's health protocol is served, `grpc.health.v1`: see ``Health``. Default true.
    public var health = true
    /// How many callers may watch the health of the server at the same time; further ones are
    /// refused with RESOURCE_EXHAUSTED, and may still check it. Default 4,096.
    public var maxHealthWatchers = 4096
    /// Whether gRPC's reflection is served, `grpc.reflection.v1` and `v1alpha`: everybody who may
    /// call the server can list its services, and see the messages of those that are described.
    /// Default true.
    public var reflection = true

    /// The defaults, with the addresses to listen on, and how they are encrypted.
    public init(addresses: [String] = [], tls: ServerTLSOptions? = nil) {
        self.addresses = addresses
        self.tls = tls
    }

    var limits: ServerLimits {
        ServerLimits(
            messageBytes: maxMessageBytes, headerListBytes: maxHeaderListBytes,
            headerCount: maxHeaderCount, streamsPerConnection: maxStreamsPerConnection,
            callsPerLoop: maxCallsPerLoop, connectionsPerLoop: maxConnectionsPerLoop,
            prefaceTimeout: prefaceTimeout, headerTimeout: headerTimeout,
            bodyTimeout: bodyTimeout, idleTimeout: idleTimeout, writeTimeout: writeTimeout,
            outputBytes: maxOutputBytes, shedDelay: loadShedding?.maxDelay ?? .zero,
            shedInterval: loadShedding?.interval ?? LoadShedding().interval)
    }

    /// Where to listen, with the scheme that is bound: TLS lies over what is not secure.
    var listeners: [TransportAddress] {
        let transports = Transports(transports)
        let addresses = addresses.map { transports.address($0) }
        return (addresses.isEmpty ? [ServerOptions.anywhere(in: transports)] : addresses).map {
            tls != nil && transports.canBeEncrypted($0.scheme) ? $0.encrypted : $0
        }
    }

    private static func anywhere(in transports: Transports) -> TransportAddress {
        let scheme = transports.standard
        return TransportAddress(
            scheme: scheme, rest: scheme == TransportScheme.tcp ? "127.0.0.1:0" : "")
    }

    private func problem(
        withAddress text: String, in transports: Transports
    ) -> String? {
        let address = transports.address(text)
        if let problem = transports.problem(with: address) { return problem }
        if TransportScheme.below(address.scheme) != nil {
            return tls == nil ? "\(text): TLS needs options.tls, with a certificate" : nil
        }
        // Who set `tls` counts on it.
        guard let tls, !transports.canBeEncrypted(address.scheme),
            !transports.isSecure(address.scheme), !tls.allowPlaintext
        else { return nil }
        return "\(text) is not encrypted: with options.tls it needs allowPlaintext"
    }

    /// What can't be served with these, each named.
    var problems: [String] {
        let counts = [
            ("maxMessageBytes", maxMessageBytes), ("maxHeaderListBytes", maxHeaderListBytes),
            ("maxHeaderCount", maxHeaderCount),
            ("maxStreamsPerConnection", maxStreamsPerConnection),
            ("maxCallsPerLoop", maxCallsPerLoop),
            ("maxConnectionsPerLoop", maxConnectionsPerLoop), ("maxOutputBytes", maxOutputBytes),
            ("maxHealthWatchers", maxHealthWatchers),
        ]
        let durations = [
            ("prefaceTimeout", prefaceTimeout), ("headerTimeout", headerTimeout),
            ("bodyTimeout", bodyTimeout), ("idleTimeout", idleTimeout),
            ("writeTimeout", writeTimeout),
        ]
        let transports = Transports(transports)
        var problems = transports.problems + (tls?.problems ?? []) + (loadShedding?.problems ?? [])
        // Without its plugin an address would only be said to be unknown.
        if problems.isEmpty {
            problems = addresses.compactMap { problem(withAddress: $0, in: transports) }
        }
        problems += counts.filter { $0.1 <= 0 || $0.1 > Int(Int32.max) }
            .map { "options.\($0.0) is \($0.1): it must be 1 to \(Int32.max)" }
        problems += durations.filter { $0.1 < .milliseconds(1) || $0.1 > .seconds(86_400) }
            .map { "options.\($0.0) is \($0.1): it must be 1 ms to 1 day" }
        return problems
    }
}

/// Where a synchronous handler runs.
public enum SyncExecution: Sendable {
    /// On the event loop of the connection, without a task: for handlers that don't block. A
    /// handler that suspends does not compile with it.
    case inline
    /// On the process's pool: for handlers that compute long or block.
    case concurrent
}

/// Where an asynchronous handler runs.
public enum AsyncExecution: Sendable {
    /// In a task on the event loop of the connection (or on the idlest, when that one is behind).
    case loop
    /// In a task on the process's pool: for handlers that compute long between suspensions.
    case concurrent
}

/// Wraps every call of a server: it may look, change the context, refuse, measure, or not go on.
///
/// The first hook that was added is the outermost. A server with hooks runs every handler in a
/// task.
public typealias ServerHook =
    @Sendable (
        _ context: Context, _ next: @Sendable (Context) async throws -> Void
    ) async throws -> Void
