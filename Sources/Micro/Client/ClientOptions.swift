/// How a client connects, waits and retries.
public struct ClientOptions: Sendable {
    /// How long a call may take in all, unless it says otherwise. Default 5 s.
    public var timeout: Duration = .seconds(5)
    /// When a call is tried again, unless it says otherwise.
    public var retry = RetryPolicy.unprocessed(attempts: 3)
    /// When a call that takes long is sent to a second node, while the first goes on. Default:
    /// never.
    public var hedging = HedgingPolicy.off
    /// When calls to an endpoint are refused because most of those before failed.
    public var breaker = CircuitBreakerPolicy()
    /// How calls are spread over the nodes of a service. Default: P2C.
    public var balancing = BalancingPolicy()
    /// What is different for some services and endpoints, by the name of the service. See also
    /// ``Client/setPolicies(_:)``.
    public var policies: [String: ServicePolicy] = [:]
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
    /// The longest pause between connects. Default 10 s.
    public var reconnectMax: Duration = .seconds(10)
    /// A ping is sent when calls wait and nothing at all has arrived for so long, once until
    /// something does; other nodes are preferred until the answer comes. Zero: never. Default 500
    /// ms.
    public var probeInterval: Duration = .milliseconds(500)
    /// When that ping is not answered in time, calls that may be made again are made elsewhere; the
    /// others have ``keepaliveTimeout``. Default 1 s.
    public var probeTimeout: Duration = .seconds(1)
    /// How long calls wait for a connection before they go to another node. Default 500 ms.
    public var connectPatience: Duration = .milliseconds(500)
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
            ("reconnectMax", reconnectMax), ("probeTimeout", probeTimeout),
            ("connectPatience", connectPatience),
        ]
        var problems = counts.filter { $0.1 < $0.2 || $0.1 > Int(Int32.max) }
            .map { "client options: \($0.0) is \($0.1): it must be \($0.2) to \(Int32.max)" }
        problems += durations.filter { $0.1 < .milliseconds(1) || $0.1 > .seconds(86_400) }
            .map { "client options: \($0.0) is \($0.1): it must be 1 ms to 1 day" }
        let intervals = [
            ("keepaliveInterval", keepaliveInterval), ("probeInterval", probeInterval),
        ]
        for (name, interval) in intervals where interval < .zero || interval > .seconds(86_400) {
            problems.append(
                "client options: \(name) is \(interval): it must be 0 (never) to 1 day")
        }
        if reconnectMax < reconnectMin {
            problems.append(
                "client options: reconnectMax is \(reconnectMax): it must not be less than "
                    + "reconnectMin, \(reconnectMin)")
        }
        problems += hedging.problems("client options: hedging")
        problems += breaker.problems("client options: breaker")
        problems += balancing.problems("client options: balancing")
        problems += ClientPolicies.problems(policies).map { "client options: \($0)" }
        return problems + (tls?.problems ?? []) + Transports(transports).problems
    }

    /// What calls do for which no policy says anything.
    var calls: CallPolicy {
        CallPolicy(timeout: timeout, retry: retry, hedging: hedging, breaker: breaker)
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
        limits.probeInterval = probeInterval
        limits.probeTimeout = probeTimeout
        limits.connectPatience = connectPatience
        limits.retryBudgetPercent = retryBudgetPercent
        limits.retryBudgetMin = retryBudgetPerSecond
        return limits
    }
}

/// What one call does differently.
public struct CallOptions: Sendable {
    /// How long it may take in all; nil: as the policies say, and for a stream no limit. A shorter
    /// deadline of the surrounding call wins.
    public var timeout: Duration?
    /// How long one attempt may take; nil: as long as the call.
    public var attemptTimeout: Duration?
    /// When it is tried again; nil: as the policies say.
    public var retry: RetryPolicy?
    /// When it is sent to a second node while the first goes on, of calls that may be tried again
    /// when they were processed; nil: as the policies say.
    public var hedgeAfter: Duration?
    /// What the call is about, a user for instance. Calls with the same key go to the same node, as
    /// long as it can be used, and are on the same side of every rule that splits calls.
    public var hashKey: String?
    /// What goes along with the message.
    public var metadata: Metadata
    /// The node to call, "tcp://10.0.0.7:4711", instead of discovering one.
    public var address: String?
    /// Only nodes of this version.
    public var version: String?
    /// Waits for a node until the deadline when none can be reached, instead of failing.
    public var waitsForReady: Bool
    /// How the message is written; nil: the preferred codec of its type.
    public var contentType: String?
    /// Whether messages are compressed; nil: as the client does.
    public var compression: Compression?

    /// The client's defaults, but for what is given.
    public init(
        timeout: Duration? = nil, attemptTimeout: Duration? = nil, retry: RetryPolicy? = nil,
        hedgeAfter: Duration? = nil, metadata: Metadata = Metadata(), hashKey: String? = nil,
        address: String? = nil, version: String? = nil, waitsForReady: Bool = false,
        contentType: String? = nil,
        compression: Compression? = nil
    ) {
        self.timeout = timeout
        self.attemptTimeout = attemptTimeout
        self.retry = retry
        self.hedgeAfter = hedgeAfter
        self.metadata = metadata
        self.hashKey = hashKey
        self.address = address
        self.version = version
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
    /// Attempts that were begun while another went on.
    public var hedges: Int

    /// - Parameters:
    ///   - node: The id of the node that answered.
    ///   - attempts: Attempts that were started.
    ///   - retriesUnwritten: Those that followed one that was provably not processed.
    ///   - retriesIdempotent: Those that followed one that may have been processed.
    ///   - hedges: Those that were begun while another went on.
    public init(
        node: String = "", attempts: Int = 0, retriesUnwritten: Int = 0, retriesIdempotent: Int = 0,
        hedges: Int = 0
    ) {
        self.node = node
        self.attempts = attempts
        self.retriesUnwritten = retriesUnwritten
        self.retriesIdempotent = retriesIdempotent
        self.hedges = hedges
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
