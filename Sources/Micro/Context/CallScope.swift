internal import Logging
internal import Synchronization

/// What all calls of one endpoint have in common.
final class CallOrigin: Sendable {
    let service: String
    let endpoint: String
    let environment: Environment
    let logger: Logger
    let client: LentClient
    let compression: Compression

    init(
        service: String, endpoint: String, environment: Environment, logger: Logger,
        client: LentClient, compression: Compression = .off
    ) {
        self.service = service
        self.endpoint = endpoint
        self.environment = environment
        self.logger = logger
        self.client = client
        self.compression = compression
    }
}

/// The part of a context that its copies share: one call of an endpoint.
///
/// Most handlers ask for little of it, so that everything is made when it is first asked for.
final class CallScope: @unchecked Sendable {  // set before it is shared, or behind the lock
    let origin: CallOrigin
    private(set) var deadline: EventLoopClock.Instant?
    private(set) var requestWasCompressed: Bool
    private let state: Mutex<State>

    private struct State {
        var facts: RequestFacts
        var requestID: String?
        /// nil: as it was at first.
        var reply: Reply?
    }

    /// What goes along with the answer.
    struct Reply: Sendable {
        var metadata = Metadata()
        var trailers = Metadata()
        var compression: Compression
    }

    init(
        of origin: CallOrigin, facts: RequestFacts, deadline: EventLoopClock.Instant? = nil,
        requestWasCompressed: Bool = false
    ) {
        self.origin = origin
        self.deadline = deadline
        self.requestWasCompressed = requestWasCompressed
        self.state = Mutex(State(facts: facts))
    }

    /// What was asked for is valid until the handler returns, or until ``keep()``.
    convenience init(of origin: CallOrigin, _ request: borrowing IncomingRequest) {
        self.init(
            of: origin, facts: RequestFacts(of: request), deadline: request.deadline,
            requestWasCompressed: request.wasCompressed)
    }

    /// Makes it the scope of another call. Only for one that nobody else has.
    func reuse(for request: borrowing IncomingRequest) {
        deadline = request.deadline
        requestWasCompressed = request.wasCompressed
        let facts = RequestFacts(of: request)
        state.withLock { $0 = State(facts: facts) }
    }

    /// Copies what the core has lent, which takes it back.
    func keep() { state.withLock { $0.facts.keep() } }

    var metadata: Metadata { state.withLock { $0.facts.metadata } }
    var peer: String { state.withLock { $0.facts.peer } }
    var peerIdentity: PeerIdentity? { state.withLock { $0.facts.identity } }

    /// What goes along with the answer as things are now; nil when the handler gave nothing.
    var replyGiven: Reply? { state.withLock { $0.reply } }

    /// Whether the handler gave something to go along.
    var hasReply: Bool { state.withLock { $0.reply != nil } }

    /// Whether the answer is compressed as things are now.
    var compression: Compression {
        state.withLock { $0.reply?.compression } ?? origin.compression
    }

    var reply: Reply { replyGiven ?? Reply(compression: origin.compression) }

    func changeReply(_ change: (inout Reply) -> Void) {
        state.withLock { state in
            var reply = state.reply ?? Reply(compression: origin.compression)
            change(&reply)
            state.reply = reply
        }
    }

    var requestID: String {
        state.withLock { state in
            if let id = state.requestID { return id }
            var id = state.facts.metadata[CallScope.requestIDHeader] ?? ""
            if id.isEmpty { id = String(origin.environment.random(), radix: 16) }
            state.requestID = id
            return id
        }
    }

    var logger: Logger {
        var logger = origin.logger
        logger[metadataKey: "endpoint"] = .string(origin.endpoint)
        logger[metadataKey: "request_id"] = .string(requestID)
        return logger
    }

    static let requestIDHeader = "x-request-id"
}
