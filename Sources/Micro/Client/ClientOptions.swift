/// How a client connects, waits and retries.
public struct ClientOptions: Sendable {
    /// How long a call may take in all, unless it says otherwise. Default 5 s.
    public var timeout: Duration = .seconds(5)
    /// When a call is tried again, unless it says otherwise.
    public var retry = RetryPolicy.unprocessed(attempts: 3)
    /// How a node is picked. Default: P2C.
    public var selector = Selector.p2c
    /// Whether messages are compressed, unless a call says otherwise. Default: none.
    public var compression = Compression.off
    /// Whom the client trusts at "tls" addresses, and how it shows who it is. Default: the
    /// authorities of the system, and nothing.
    public var tls: ClientTLSOptions?
    /// What carries connections to addresses of other schemes than those that are built in.
    /// Default: what `MICRO_TRANSPORT` says, for clients of a service and those that are made
    /// without a resolver; else none.
    public var transports: [TransportPlugin] = []
    /// The largest answer, in bytes. Default 4 MiB.
    public var maxMessageBytes = 4 << 20
    /// Unfinished calls, for each event loop. Default 100,000.
    public var maxCallsPerLoop = 100_000
    /// Default 5 s.
    public var connectTimeout: Duration = .seconds(5)
    /// A connection without calls is closed after it. Default 5 min.
    public var idleTimeout: Duration = .seconds(300)
    /// A ping is sent when calls wait and nothing has arrived for so long; zero: never. Default 20
    /// s.
    public var keepaliveInterval: Duration = .seconds(20)
    /// A connection that does not answer the ping in time is dead. Default 10 s.
    public var keepaliveTimeout: Duration = .seconds(10)
    /// The first pause after a failed connect; times 1.6 each, with full jitter. Default 100 ms.
    public var reconnectMin: Duration = .milliseconds(100)
    /// The longest pause between connects. Default 30 s.
    public var reconnectMax: Duration = .seconds(30)
    /// Retries may be so many percent of the calls to a service. Default 20.
    public var retryBudgetPercent = 20
    /// And so many per second in any case. Default 10.
    public var retryBudgetPerSecond = 10

    /// The defaults, but for what is given.
    public init(tls: ClientTLSOptions? = nil) { self.tls = tls }

    /// What can't be used, each named.
    var problems: [String] {
        let counts = [
            ("maxMessageBytes", maxMessageBytes, 1), ("maxCallsPerLoop", maxCallsPerLoop, 1),
            ("retryBudgetPercent", retryBudgetPercent, 0),
            ("retryBudgetPerSecond", retryBudgetPerSecond, 0),
        ]
        let durations = [
            ("timeout", timeout), ("connectTimeout", connectTimeout), ("idleTimeout", idleTimeout),
            ("keepaliveTimeout", keepaliveTimeout), ("reconnectMin", reconnectMin),
            ("reconnectMax", reconnectMax),
        ]
        var problems = counts.filter { $0.1 < $0.2 || $0.1 > Int(Int32.max) }
            .map { "client options: \($0.0) is \($0.1): it must be \($0.2) to \(Int32.max)" }
        problems += durations.filter { $0.1 < .milliseconds(1) || $0.1 > .seconds(86_400) }
            .map { "client options: \($0.0) is \($0.1): it must be 1 ms to 1 day" }
        if keepaliveInterval < .zero || keepaliveInterval > .seconds(86_400) {
            problems.append(
                "client options: keepaliveInterval is \(keepaliveInterval): it must be 0 (never) "
                    + "to 1 day")
        }
        if reconnectMax < reconnectMin {
            problems.append(
                "client options: reconnectMax is \(reconnectMax): it must not be less than "
                    + "reconnectMin, \(reconnectMin)")
        }
        return problems + (tls?.problems ?? []) + Transports(transports).problems
    }

    var limits: ClientLimits {
        var limits = ClientLimits()
        limits.messageBytes = maxMessageBytes
        limits.callsPerLoop = maxCallsPerLoop
        limits.connectTimeout = connectTimeout
        limits.idleTimeout = idleTimeout
        limits.keepaliveInterval = keepaliveInterval
        limits.keepaliveTimeout = keepaliveTimeout
        limits.reconnectMin = reconnectMin
        limits.reconnectMax = reconnectMax
        limits.retryBudgetPercent = retryBudgetPercent
        limits.retryBudgetMin = retryBudgetPerSecond
        return limits
    }
}

/// When a call is tried again. Another node is preferred; the deadline covers all attempts.
///
/// When no node that is known can be reached, the nodes are looked up again, and those that are new
/// are tried: with what is left of the attempts, once at least.
public struct RetryPolicy: Sendable, Hashable {
    let attempts: Int
    let isIdempotent: Bool

    /// One attempt.
    public static let never = RetryPolicy(attempts: 1, isIdempotent: false)

    /// Only when the request was provably not processed: it could not be connected or written, or
    /// the node refused it. The default.
    /// - Parameter attempts: In all, 1 to 5.
    public static func unprocessed(attempts: Int) -> RetryPolicy {
        RetryPolicy(attempts: attempts, isIdempotent: false)
    }

    /// Also when the request may have been processed: only for endpoints that may be called twice.
    /// - Parameter attempts: In all, 1 to 5.
    public static func idempotent(attempts: Int) -> RetryPolicy {
        RetryPolicy(attempts: attempts, isIdempotent: true)
    }

    private init(attempts: Int, isIdempotent: Bool) {
        self.attempts = min(max(attempts, 1), 5)
        self.isIdempotent = isIdempotent
    }
}

/// What one call does differently.
public struct CallOptions: Sendable {
    /// How long it may take in all; nil: the client's, and for a stream no limit. A shorter
    /// deadline of the surrounding call wins.
    public var timeout: Duration?
    /// How long one attempt may take; nil: as long as the call.
    public var attemptTimeout: Duration?
    /// When it is tried again; nil: as the client does.
    public var retry: RetryPolicy?
    /// What goes along with the message.
    public var metadata: Metadata
    /// The node to call, "tcp://10.0.0.7:4711", instead of discovering one.
    public var address: String?
    /// Only nodes of this version.
    public var version: String?
    /// What the call is about, such as a user: calls with the same key are treated alike by rules
    /// that split calls.
    public var key: String?
    /// Waits for a node until the deadline when none can be reached, instead of failing.
    public var waitsForReady: Bool
    /// How the message is written; nil: the preferred codec of its type.
    public var contentType: String?
    /// Whether messages are compressed; nil: as the client does.
    public var compression: Compression?

    /// The client's defaults, but for what is given.
    public init(
        timeout: Duration? = nil, attemptTimeout: Duration? = nil, retry: RetryPolicy? = nil,
        metadata: Metadata = Metadata(), address: String? = nil, version: String? = nil,
        key: String? = nil, waitsForReady: Bool = false, contentType: String? = nil,
        compression: Compression? = nil
    ) {
        self.timeout = timeout
        self.attemptTimeout = attemptTimeout
        self.retry = retry
        self.metadata = metadata
        self.address = address
        self.version = version
        self.key = key
        self.waitsForReady = waitsForReady
        self.contentType = contentType
        self.compression = compression
    }
}

/// A call as hooks see it: its message is written already.
public struct ClientRequest: Sendable {
    /// The service as it stands in the register.
    public let service: String
    /// "Service.Method", or in full "package.Service/Method".
    public let endpoint: String
    /// Which sides send many messages.
    public let kind: CallKind
    /// How the messages are written: "application/grpc+json".
    public let contentType: String
    /// The message; empty when the caller sends many.
    public var body: [UInt8]
    /// What the call does differently; its metadata is what goes along.
    public var options: CallOptions

    /// - Parameters:
    ///   - service: The service as it stands in the register.
    ///   - endpoint: "Service.Method", or in full "package.Service/Method".
    ///   - contentType: How the message is written: "application/grpc+json".
    ///   - body: The message.
    ///   - options: What the call does differently.
    public init(
        service: String, endpoint: String, contentType: String = "application/grpc+json",
        body: [UInt8], options: CallOptions = CallOptions()
    ) {
        self.init(
            service, endpoint, kind: .unary, contentType: contentType, body: body, options: options)
    }

    @usableFromInline
    init(
        _ service: String, _ endpoint: String, kind: CallKind, contentType: String,
        body: [UInt8] = [], options: CallOptions
    ) {
        self.service = service
        self.endpoint = endpoint
        self.kind = kind
        self.contentType = contentType
        self.body = body
        self.options = options
    }
}

/// The answer of a node, before its message is read.
public struct ClientResponse: Sendable {
    /// How the message is written.
    public var contentType: String
    /// The message; empty when the node sends many.
    public var body: [UInt8]
    /// Whether it came compressed.
    public var wasCompressed = false
    /// What the node sent before the message.
    public var metadata: Metadata
    /// What the node sent behind it.
    public var trailers: Metadata
    /// How the call went.
    public var report: CallReport

    /// For hooks that answer themselves.
    ///
    /// - Parameters:
    ///   - contentType: How the message is written: "application/grpc+json".
    ///   - body: The message.
    ///   - metadata: What comes before it.
    ///   - trailers: What comes behind it.
    ///   - report: How the call went; by default, no node was called.
    public init(
        contentType: String = "application/grpc+json", body: [UInt8],
        metadata: Metadata = Metadata(), trailers: Metadata = Metadata(),
        report: CallReport = CallReport()
    ) {
        self.contentType = contentType
        self.body = body
        self.metadata = metadata
        self.trailers = trailers
        self.report = report
    }
}

/// How a call went: which node answered, and what it took.
public struct CallReport: Sendable, Hashable {
    /// The id of the node that answered, or was tried last; "" when there was none.
    public var node: String
    /// Attempts that were started.
    public var attempts: Int
    /// Attempts that followed one that was provably not processed.
    public var retriesUnwritten: Int
    /// Attempts that followed one that may have been processed, because the call is idempotent.
    public var retriesIdempotent: Int

    /// - Parameters:
    ///   - node: The id of the node that answered.
    ///   - attempts: Attempts that were started.
    ///   - retriesUnwritten: Those that followed one that was provably not processed.
    ///   - retriesIdempotent: Those that followed one that may have been processed.
    public init(
        node: String = "", attempts: Int = 0, retriesUnwritten: Int = 0, retriesIdempotent: Int = 0
    ) {
        self.node = node
        self.attempts = attempts
        self.retriesUnwritten = retriesUnwritten
        self.retriesIdempotent = retriesIdempotent
    }
}

/// A reply with what came along.
public struct Response<Reply: Sendable>: Sendable {
    /// The message.
    public var reply: Reply
    /// Whether it came compressed.
    public var wasCompressed: Bool
    /// What the node sent before the message.
    public var metadata: Metadata
    /// What the node sent behind the message.
    public var trailers: Metadata
    /// How the call went.
    public var report: CallReport

    @inlinable
    init(
        reply: Reply, wasCompressed: Bool, metadata: Metadata, trailers: Metadata,
        report: CallReport
    ) {
        self.reply = reply
        self.wasCompressed = wasCompressed
        self.metadata = metadata
        self.trailers = trailers
        self.report = report
    }
}

/// Wraps every call of a client: it may look, change the request, answer itself, measure, or
/// refuse. The first hook that was given is the outermost. A hook may make the timeout shorter, not
/// longer. Around a stream it runs until the stream has ended; it can't answer that itself, but
/// throw instead.
public typealias ClientHook =
    @Sendable (
        _ request: ClientRequest, _ next: @Sendable (ClientRequest) async throws -> ClientResponse
    ) async throws -> ClientResponse
