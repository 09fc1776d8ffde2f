/// The limits of message sockets, and how they are encrypted.
public struct SocketTransportOptions: Sendable {
    /// What carries addresses of other schemes than those that are built in, and those without a
    /// scheme. Default: none; ``TransportPlugin/configured`` is what `MICRO_TRANSPORT` says.
    public var transports: [TransportPlugin] = []
    /// How "tcp" addresses that are listened on, and those of plugins that are not secure
    /// themselves, are encrypted: their schemes become "tls" and "tls+name". Default: not at all.
    public var serverTLS: ServerTLSOptions?
    /// Whom dialled "tls" addresses have to be, and how this side shows who it is. Default: the
    /// authorities of the system are trusted, and nothing is shown.
    public var clientTLS: ClientTLSOptions?
    /// The headers of a message, in either direction: the sum of name + value + 6 of all. Default
    /// 16 KiB.
    public var maxHeaderBytes = 16 << 10
    /// How many headers a message may have. Default 128.
    public var maxHeaderCount = 128
    /// The largest body, in either direction. Default 4 MiB.
    public var maxBodyBytes = 4 << 20
    /// Open sockets, for each event loop; further ones are refused. Default 10,000.
    public var maxSocketsPerLoop = 10_000
    /// Unsent bytes of a socket beyond which senders wait. Default 64 KiB.
    public var maxUnsentBytes = 64 << 10
    /// Sockets of a listener that wait for ``TransportListener/accept(timeout:)``. Default 128.
    public var maxUnaccepted = 128
    /// From accepting a connection to knowing that it is a message socket. Default 5 s.
    public var prefaceTimeout: Duration = .seconds(5)
    /// How long ``TransportSocket/close()`` waits for the other side to take what was sent.
    /// Default 10 s.
    public var closeTimeout: Duration = .seconds(10)

    /// The defaults, with how sockets are encrypted.
    ///
    /// - Parameters:
    ///   - serverTLS: How this side listens.
    ///   - clientTLS: How it dials "tls" addresses.
    public init(serverTLS: ServerTLSOptions? = nil, clientTLS: ClientTLSOptions? = nil) {
        self.serverTLS = serverTLS
        self.clientTLS = clientTLS
    }

    var limits: MessengerLimits {
        MessengerLimits(
            headerBytes: maxHeaderBytes, headerCount: maxHeaderCount, bodyBytes: maxBodyBytes,
            socketsPerLoop: maxSocketsPerLoop, unsentBytes: maxUnsentBytes,
            prefaceTimeout: prefaceTimeout, closeTimeout: closeTimeout)
    }

    /// Where to listen, with the scheme that is bound: TLS lies over tcp.
    ///
    /// - Throws: ``MicroError`` for an address that can't be listened on as the options have it.
    func listener(_ text: String) throws(MicroError) -> TransportAddress {
        let transports = Transports(transports)
        let address = try checked(text)
        let isEncrypted = TransportScheme.below(address.scheme) != nil
        guard let serverTLS else {
            if !isEncrypted { return address }
            throw Self.invalid(
                "\(text): TLS needs options.serverTLS, with a certificate", at: "address")
        }
        if transports.canBeEncrypted(address.scheme) { return address.encrypted }
        // Who set `serverTLS` counts on it.
        if !isEncrypted, !transports.isSecure(address.scheme), !serverTLS.allowPlaintext {
            throw Self.invalid(
                "\(text) is not encrypted: with options.serverTLS it needs allowPlaintext",
                at: "address")
        }
        return address
    }

    /// An address of a transport that is known.
    func checked(_ text: String) throws(MicroError) -> TransportAddress {
        let transports = Transports(transports)
        let address = transports.address(text)
        if let problem = transports.problem(with: address) {
            throw Self.invalid(problem, at: "address")
        }
        return address
    }

    static func invalid(_ detail: String, at field: String) -> MicroError {
        MicroError(
            "transport", .invalidArgument, detail, reason: "INVALID", metadata: ["field": field])
    }

    /// What can't be used, each named.
    var problems: [String] {
        let counts = [
            ("maxHeaderBytes", maxHeaderBytes, 1 << 20),
            ("maxHeaderCount", maxHeaderCount, 1 << 16),
            ("maxBodyBytes", maxBodyBytes, 1 << 30),
            ("maxSocketsPerLoop", maxSocketsPerLoop, Int(Int32.max)),
            ("maxUnsentBytes", maxUnsentBytes, 1 << 30),
            ("maxUnaccepted", maxUnaccepted, 1 << 20),
        ]
        let durations = [("prefaceTimeout", prefaceTimeout), ("closeTimeout", closeTimeout)]
        var problems =
            Transports(transports).problems + (serverTLS?.problems ?? [])
            + (clientTLS?.problems ?? [])
        problems += counts.filter { $0.1 <= 0 || $0.1 > $0.2 }
            .map { "options.\($0.0) is \($0.1): it must be 1 to \($0.2)" }
        problems += durations.filter { $0.1 < .milliseconds(1) || $0.1 > .seconds(86_400) }
            .map { "options.\($0.0) is \($0.1): it must be 1 ms to 1 day" }
        return problems
    }
}
