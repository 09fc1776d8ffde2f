public import Logging
internal import Synchronization

/// Calls services: finds their nodes, balances over them, and tries another one when that is safe.
///
/// Connections and balancing live on the event loops; a call made inside a handler stays on its
/// loop. Safe to use from any thread. ``close(grace:)`` drains; dropping the last reference aborts
/// what is in flight.
public final class Client: Sendable, ContextClient {
    let options: ClientOptions
    let environment: Environment
    let codecs: Codecs
    let logger: Logger
    let hooks: [ClientHook]
    let directory: NodeDirectory
    private let tls: ClientTLS
    /// One for each loop; made on first use, so that making a client starts no thread.
    private let slots = Mutex(Slots())
    private let telemetry = Mutex<[String: ClientTelemetry]>([:])

    private struct Slots {
        var made: [ClientLoop] = []
        var isClosed = false
    }

    /// - Parameters:
    ///   - resolver: Finds the nodes of a service by its name.
    ///   - router: Chooses the nodes that a call may use.
    ///   - hooks: Wrapped around every call, the first outermost.
    ///   - codecs: How messages may be written, the preferred first.
    public init(
        resolver: any Resolver, router: any Router = DirectRouter(),
        options: ClientOptions = ClientOptions(), hooks: [ClientHook] = [],
        codecs: Codecs = Codecs(), environment: Environment = .current,
        logger: Logger = Logger(label: "micro.client")
    ) {
        self.options = options
        self.environment = environment
        self.codecs = codecs
        self.logger = logger
        self.hooks = hooks
        self.directory = NodeDirectory(resolver: resolver, router: router)
        self.tls = ClientTLS(options.tls, environment: environment, logger: logger)
    }

    deinit {
        for slot in slots.withLock({ $0.made }) { slot.close(grace: .zero) {} }
    }

    /// The place of this client on the loop that the call should use.
    func slot() async throws -> ClientLoop {
        if tls.needsPreparation { try await prepareTLS() }
        let loop = environment.loops.preferred
        return try slots.withLock { slots in
            if slots.isClosed {
                throw MicroError("client", .unavailable, "the client is closed")
            }
            if slots.made.isEmpty {
                try checkOptions()
                let limits = options.limits
                slots.made = environment.loops.workers.map {
                    ClientLoop(loop: $0, limits: limits, tls: tls)
                }
            }
            return slots.made[loop.index]
        }
    }

    private func checkOptions() throws {
        let problems = options.problems
        guard problems.isEmpty else {
            throw MicroError.invalid("client", problems.joined(separator: "; "))
        }
    }

    /// Reads the certificates, once.
    private func prepareTLS() async throws {
        try checkOptions()
        try await tls.prepare()
    }

    /// Reads the files of ``ClientOptions/tls`` now, changed or not: new connections use what is in
    /// them, and those that are open stay. Does nothing without them.
    ///
    /// - Throws: ``MicroError`` that names the file, or the certificate, and the reason; then
    ///   everything is as before.
    public func reloadCertificates() async throws { try await tls.reload() }

    /// Takes no new calls, waits for those in flight, `grace` at most, cancels the rest and closes
    /// every connection. Idempotent.
    public func close(grace: Duration = .seconds(5)) async {
        let made = slots.withLock { slots in
            slots.isClosed = true
            return slots.made
        }
        await withTaskGroup(of: Void.self) { group in
            for slot in made { group.addTask { await slot.close(grace: grace) } }
        }
        tls.close()
        await directory.close()
    }

    // MARK: One call, as bytes

    /// Calls with a message that is written already: for gateways, tools and codecs of one's own.
    /// Passes through the hooks and is observed as every call.
    ///
    /// - Throws: As ``call(_:_:_:as:options:)``.
    public func send(_ request: ClientRequest) async throws -> ClientResponse {
        guard request.kind == .unary else {
            throw MicroError.invalid(
                "client.send", "the request is one of a stream: it has more than one message")
        }
        return try await observed(request, timeout: options.timeout) {
            // A unary call always has a deadline.
            try await self.balance($0, until: $1 ?? self.environment.clock.now)
        }
    }

    /// Runs `work`, a call, as a part of what surrounds it: with what it inherits, observed, and
    /// inside the hooks.
    ///
    /// - Parameter timeout: Of a call that does not say its own.
    func observed(
        _ request: ClientRequest, timeout: Duration?,
        _ work:
            @escaping @Sendable (
                ClientRequest, EventLoopClock.Instant?
            ) async throws -> ClientResponse
    ) async throws -> ClientResponse {
        var request = request
        let deadline = try inherit(into: &request, timeout)
        let telemetry = telemetry(request)
        let observation = telemetry.begin(&request)
        do {
            let response = try await observation.run {
                try await self.throughHooks(request) { try await work($0, deadline) }
            }
            observation.end(nil)
            return response
        } catch {
            let failure = Client.failure(error, request)
            observation.end(failure)
            log(failure, request)
            throw failure
        }
    }

    /// Takes over what the surrounding call hands on: deadline, request id, and the trace where no
    /// tracer does it. Returns when the call has to be done.
    private func inherit(
        into request: inout ClientRequest, _ standard: Duration?
    ) throws -> EventLoopClock.Instant? {
        let clock = environment.clock
        var timeout = request.options.timeout ?? standard
        if let context = Context.current {
            if let remaining = context.timeRemaining {
                let inherited = remaining - Client.inheritedMargin
                timeout = timeout.map { min($0, inherited) } ?? inherited
            }
            for name in Client.inheritedMetadata where request.options.metadata[name] == nil {
                for value in context.metadata.values(name) {
                    request.options.metadata.append(name, value)
                }
            }
            if request.options.metadata[CallScope.requestIDHeader] == nil {
                request.options.metadata[CallScope.requestIDHeader] = context.requestID
            }
        }
        guard let timeout else { return nil }
        guard timeout > .zero else {
            throw MicroError(
                "\(request.service)/\(request.endpoint)", .deadlineExceeded,
                "no time is left to call \(request.service): the deadline of the surrounding call, "
                    + "or a timeout of zero, has passed")
        }
        return clock.now.advanced(by: timeout)
    }

    /// So that the answer of a service below arrives before our own caller gives up.
    private static let inheritedMargin: Duration = .milliseconds(2)
    private static let inheritedMetadata = ["traceparent", "tracestate", "baggage"]

    private func throughHooks(
        _ request: ClientRequest,
        _ work: @escaping @Sendable (ClientRequest) async throws -> ClientResponse
    ) async throws -> ClientResponse {
        var next = work
        for hook in hooks.reversed() {
            let inner = next
            next = { try await hook($0, inner) }
        }
        return try await next(request)
    }

    private func balance(
        _ request: ClientRequest, until latest: EventLoopClock.Instant
    ) async throws -> ClientResponse {
        let options = request.options
        try options.metadata.validate()
        let deadline = self.deadline(of: request, latest) ?? latest
        let key = Client.targetKey(request)
        let attempts = (options.retry ?? self.options.retry).attempts
        var nodes = try await findNodes(for: request, key, until: deadline)
        var outcome = try await attempt(key, nodes, request, attempts, until: deadline)
        if outcome.wasNotTaken, attempts > 1, options.address == nil,
            environment.clock.now < deadline
        {
            // Every node that was known is gone: ask again who is there, and try those, once more
            // at least, since no node has seen anything of it.
            let first = outcome
            let known = nodes.revision
            nodes = try await findNodes(for: request, key, until: deadline, afresh: true)
            if nodes.revision != known {
                outcome = try await attempt(
                    key, nodes, request, max(1, attempts - first.attempts), until: deadline)
                outcome.attempts += first.attempts
                outcome.retriesUnwritten += first.retriesUnwritten + 1
                outcome.retriesIdempotent += first.retriesIdempotent
            }
        }
        return try response(outcome, request)
    }

    /// A hook may have made the timeout shorter.
    func deadline(
        of request: ClientRequest, _ latest: EventLoopClock.Instant?
    ) -> EventLoopClock.Instant? {
        guard let timeout = request.options.timeout else { return latest }
        let own = environment.clock.now.advanced(by: timeout)
        return latest.map { min($0, own) } ?? own
    }

    /// What the core needs to know of a call.
    func plan(
        _ request: ClientRequest, attempts: Int, until deadline: EventLoopClock.Instant?
    ) -> CallPlan {
        let options = request.options
        let compression = options.compression ?? self.options.compression
        return CallPlan(
            path: EndpointPaths(service: request.service, endpoint: request.endpoint).canonical,
            contentType: request.contentType, body: request.body, metadata: options.metadata,
            timeout: deadline.map {
                max(.nanoseconds(1), environment.clock.now.duration(to: $0))
            },
            attemptTimeout: options.attemptTimeout, attemptsMax: attempts,
            isIdempotent: (options.retry ?? self.options.retry).isIdempotent,
            waitsForReady: options.waitsForReady, kind: request.kind,
            isCompressed: request.kind.streamsRequests
                ? compression != .off : compression.covers(request.body))
    }

    private func attempt(
        _ key: String, _ nodes: NodeSet, _ request: ClientRequest, _ attempts: Int,
        until deadline: EventLoopClock.Instant
    ) async throws -> CallOutcome {
        let options = request.options
        let plan = plan(request, attempts: attempts, until: deadline)
        let slot = try await slot()
        let pick = self.options.selector.policy
        guard options.waitsForReady, options.address == nil else {
            return try await PendingCall.run(
                on: slot, key: key, nodes: nodes, pick: pick, plan: plan)
        }
        // Nodes that come while it waits are nodes to try.
        return try await withThrowingTaskGroup(of: CallOutcome?.self) { group in
            group.addTask {
                try await PendingCall.run(on: slot, key: key, nodes: nodes, pick: pick, plan: plan)
            }
            group.addTask { [directory] in
                await directory.follow(request.service, for: Client.query(request)) { nodes in
                    _ = try? await slot.loop.run {
                        try slot.client().update(key, to: nodes, pick: pick)
                    }
                }
                return nil
            }
            defer { group.cancelAll() }
            while let outcome = try await group.next() {
                if let outcome { return outcome }
            }
            throw CancellationError()
        }
    }

    /// - Parameter afresh: Asks where the nodes come from, whatever is remembered.
    func findNodes(
        for request: ClientRequest, _ key: String, until deadline: EventLoopClock.Instant?,
        afresh: Bool = false
    ) async throws -> NodeSet {
        if let address = request.options.address {
            let node = BalancedNode(id: address, address: address, weight: 1, isDraining: false)
            return NodeSet(revision: 1, nodes: [node])
        }
        let (directory, service) = (directory, request.service)
        do {
            // A stream may last for ever, but not the search for its node.
            let patience =
                deadline.map { environment.clock.now.duration(to: $0) } ?? options.timeout
            return try await withTimeout(
                patience, on: environment.clock,
                "\(service)/\(request.endpoint)", "finding the nodes of \(service)"
            ) {
                if afresh { await directory.refresh(service) }
                return try await directory.nodes(
                    of: service, for: Client.query(request), key: key)
            }
        } catch let error as MicroError
            where request.options.waitsForReady && error.code != .deadlineExceeded
            && error.code != .invalidArgument
        {
            return NodeSet(revision: 0, nodes: [])
        }
    }

    static func query(_ request: ClientRequest) -> RouteQuery {
        RouteQuery(version: request.options.version)
    }

    /// What the balancers are kept apart by: everything that narrows the nodes down.
    static func targetKey(_ request: ClientRequest) -> String {
        if let address = request.options.address { return "=\(address)" }
        guard let version = request.options.version else { return request.service }
        return "\(request.service)@\(version)"
    }

    func response(
        _ outcome: CallOutcome, _ request: ClientRequest
    ) throws -> ClientResponse {
        let report = CallReport(outcome)
        guard outcome.code == 0 else { throw Client.failure(outcome, report, request) }
        var response = ClientResponse(
            contentType: outcome.contentType, body: outcome.body, metadata: outcome.headers,
            trailers: outcome.trailers, report: report)
        response.wasCompressed = outcome.wasCompressed
        return response
    }

    // MARK: Failures

    /// What a node answered, or why none did.
    static func failure(
        _ outcome: CallOutcome, _ report: CallReport, _ request: ClientRequest
    ) -> MicroError {
        let id = "\(request.service)/\(request.endpoint)"
        var failure: MicroError
        if outcome.transport == .ok {
            // The service's own error: nothing is added to it.
            failure = MicroError(
                rpcCode: outcome.code, message: outcome.message, details: outcome.details)
            if failure.id.isEmpty { failure.id = id }
        } else {
            failure = MicroError(id, MicroError.Code(rpc: outcome.code), outcome.message)
            if !report.node.isEmpty { failure.metadata["node"] = report.node }
        }
        failure.wasWritten = outcome.wasWritten
        return failure
    }

    static func failure(_ error: any Error, _ request: ClientRequest) -> MicroError {
        MicroError(error, id: "\(request.service)/\(request.endpoint)")
    }

    func log(_ failure: MicroError, _ request: ClientRequest) {
        logger.debug(
            "call failed",
            metadata: [
                "service": "\(request.service)", "endpoint": "\(request.endpoint)",
                "error": "\(failure)",
            ])
    }

    private func telemetry(_ request: ClientRequest) -> ClientTelemetry {
        guard ClientTelemetry.isEnabled else { return .none }
        let key = "\(request.service)/\(request.endpoint)"
        return telemetry.withLock { known in
            if let telemetry = known[key] { return telemetry }
            // Names come from the program, but a gateway's may come from outside.
            if known.count >= Client.telemetryMax { known = [:] }
            let telemetry = ClientTelemetry(service: request.service, endpoint: request.endpoint)
            known[key] = telemetry
            return telemetry
        }
    }

    private static let telemetryMax = 4096
}

extension CallReport {
    init(_ outcome: CallOutcome) {
        self.init(
            node: outcome.node, attempts: outcome.attempts,
            retriesUnwritten: outcome.retriesUnwritten,
            retriesIdempotent: outcome.retriesIdempotent)
    }
}
