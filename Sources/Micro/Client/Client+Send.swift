extension Client {
    /// Calls with a message that is written already: for gateways, tools and codecs of one's own.
    /// Passes through the hooks and is observed as every call.
    ///
    /// - Throws: As ``call(_:_:_:as:options:)``.
    nonisolated(nonsending) public func send(
        _ request: ClientRequest
    ) async throws -> ClientResponse {
        // What is seldom needed is elsewhere: the frame of a function that suspends is memory that
        // each of its calls takes and touches.
        guard let slot = slotHere, !request.options.waitsForReady, request.kind == .unary else {
            return try await sendTheLongWay(request)
        }
        var (call, endpoint) = try prepare(request, on: slot)
        await call.run { [call] in slot.start(call, request, endpoint, over: nil) }
        if let outcome = call.takeAnswer() {
            slot.takeBack(&call)
            return ClientResponse(outcome)
        }
        return try await settle(call, request, on: slot)
    }

    @inline(never)
    private func prepare(
        _ request: ClientRequest, on slot: ClientLoop
    ) throws(MicroError) -> (PendingCall, PreparedEndpoint) {
        do {
            let endpoint = try slot.endpoint(of: request)
            let left =
                request.options.timeout.map { $0.unsignedNanoseconds } ?? endpoint.terms.timeout
            guard left > 0 else { throw Client.late(request) }
            try request.options.metadata.validate()
            let time = CallTime(left: left, from: .init(nanoseconds: slot.loop.now))
            let terms = CallTerms(request, endpoint.terms, options, within: time)
            return (slot.makeCall(terms), endpoint)
        } catch {
            throw reported(error, request)
        }
    }

    /// What did not go the short way to its end.
    nonisolated(nonsending) private func settle(
        _ call: PendingCall, _ request: ClientRequest, on slot: ClientLoop
    ) async throws -> ClientResponse {
        do {
            guard let outcome = try call.takeOutcome() else {
                return try await balance(request, call.terms, on: slot)
            }
            return try await settle(outcome, call.revision, request, call.terms, on: slot)
        } catch {
            throw reported(error, request)
        }
    }

    /// For the short way: the place of this client on the loop that the caller runs on, when the
    /// call inherits nothing and nobody observes it.
    private var slotHere: ClientLoop? {
        guard hooks.isEmpty, !telemetry.isEnabled, let slot = currentSlot, Context.current == nil
        else { return nil }
        return slot
    }

    nonisolated(nonsending) private func sendTheLongWay(
        _ request: ClientRequest
    ) async throws -> ClientResponse {
        guard request.kind == .unary else {
            throw MicroError.invalid(
                "client.send", "the request is one of a stream: it has more than one message")
        }
        guard hooks.isEmpty, !telemetry.isEnabled else { return try await sendObserved(request) }
        do {
            return try await sendPlain(request)
        } catch {
            throw reported(error, request)
        }
    }

    nonisolated(nonsending) private func sendPlain(_ request: ClientRequest) async throws
        -> ClientResponse
    {
        var request = request
        let terms = try terms(of: request)
        let time =
            try inherit(into: &request, terms.timeout) ?? CallTime(left: terms.timeout, from: turn)
        return try await balance(request, terms, within: time)
    }

    nonisolated(nonsending) private func sendObserved(_ request: ClientRequest) async throws
        -> ClientResponse
    {
        try await observed(request, timeout: try terms(of: request).timeout) {
            // A unary call always has a deadline.
            let deadline = self.deadline(of: $0, $1) ?? self.environment.clock.now
            // A hook may have made another request of it.
            let terms = try self.terms(of: $0)
            return try await self.balance($0, terms, within: self.time(until: deadline))
        }
    }

    /// What its policies say.
    func terms(of request: ClientRequest) throws(MicroError) -> EndpointTerms {
        try currentPolicies.terms(request.service, request.endpoint)
    }

    /// Runs `work`, a call, as a part of what surrounds it: with what it inherits, observed, and
    /// inside the hooks.
    ///
    /// - Parameter timeout: Of a call that does not say its own, in nanoseconds.
    nonisolated(nonsending) func observed(
        _ request: ClientRequest, timeout: UInt64?,
        _ work:
            @escaping @Sendable (
                ClientRequest, EventLoopClock.Instant?
            ) async throws -> ClientResponse
    ) async throws -> ClientResponse {
        var request = request
        let time = try inherit(into: &request, timeout)
        let telemetry = telemetry.of(request)
        let observation = telemetry.begin(&request)
        do {
            let response = try await observation.run {
                try await self.throughHooks(request) { try await work($0, time?.deadline) }
            }
            observation.end(nil)
            return response
        } catch {
            let failure = reported(error, request)
            observation.end(failure)
            throw failure
        }
    }

    /// Takes over what the surrounding call hands on: deadline, request id, and the trace where no
    /// tracer does it. Returns how long the call may take.
    func inherit(
        into request: inout ClientRequest, _ standard: UInt64?
    ) throws -> CallTime? {
        let own = request.options.timeout.map { $0.unsignedNanoseconds } ?? standard
        let context = Context.current
        // A deadline was set by a clock that went on during this turn; a timeout was not.
        let now = context?.deadline == nil ? turn : environment.clock.now
        var deadline = own.map { now.advanced(byNanoseconds: $0) }
        if let context { inherit(into: &request, &deadline, from: context) }
        guard let deadline else { return nil }
        guard deadline > now else { throw Client.late(request) }
        return CallTime(deadline: deadline, left: deadline.nanoseconds - now.nanoseconds)
    }

    private func inherit(
        into request: inout ClientRequest, _ deadline: inout EventLoopClock.Instant?,
        from context: Context
    ) {
        if let theirs = context.deadline {
            let inherited = theirs.advanced(by: .zero - Client.inheritedMargin)
            deadline = deadline.map { min($0, inherited) } ?? inherited
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

    static func late(_ request: ClientRequest) -> MicroError {
        MicroError(
            "\(request.service)/\(request.endpoint)", .deadlineExceeded,
            "no time is left to call \(request.service): the deadline of the surrounding call, "
                + "or a timeout of zero, has passed")
    }

    /// So that the answer of a service below arrives before our own caller gives up.
    static let inheritedMargin: Duration = .milliseconds(2)
    private static let inheritedMetadata = [
        "traceparent", "tracestate", "baggage", CallPriority.header,
    ]

    /// On a loop, the beginning of its turn: no look at the clock.
    private var turn: EventLoopClock.Instant {
        EventLoop.current.map { .init(nanoseconds: $0.now) } ?? environment.clock.now
    }

    /// What is left, by the clock.
    func time(until deadline: EventLoopClock.Instant) -> CallTime {
        let now = environment.clock.now
        return CallTime(
            deadline: deadline,
            left: deadline > now ? deadline.nanoseconds - now.nanoseconds : 1)
    }

    nonisolated(nonsending) private func throughHooks(
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

    nonisolated(nonsending) private func balance(
        _ request: ClientRequest, _ terms: EndpointTerms, within time: CallTime
    ) async throws -> ClientResponse {
        try request.options.metadata.validate()
        var slot = slotAtHand
        if slot == nil { slot = try await self.slot() }
        guard let slot else { throw MicroError("client", .internal, "no event loop for the call") }
        return try await balance(
            request, CallTerms(request, terms, options, within: time), on: slot)
    }

    nonisolated(nonsending) private func balance(
        _ request: ClientRequest, _ terms: CallTerms, on slot: ClientLoop
    ) async throws -> ClientResponse {
        let (outcome, revision) = try await attempt(request, terms, on: slot)
        return try await settle(outcome, revision, request, terms, on: slot)
    }

    /// Takes what came of a call for its end, or calls nodes that were not known.
    ///
    /// - Parameter revision: Of the nodes that were tried.
    nonisolated(nonsending) private func settle(
        _ first: CallOutcome, _ revision: UInt64, _ request: ClientRequest, _ terms: CallTerms,
        on slot: ClientLoop
    ) async throws -> ClientResponse {
        guard first.wasNotTaken, terms.plan.attemptsMax > 1, request.options.address == nil,
            let deadline = terms.deadline, environment.clock.now < deadline
        else { return try response(first, request) }
        // Every node that was known is gone: ask again who is there, and try those, once more at
        // least, since no node has seen anything of it.
        let found = try await findNodes(for: request, until: deadline, afresh: true)
        guard found.nodes.revision != revision else { return try response(first, request) }
        var terms = terms
        terms.plan.attemptsMax = max(1, terms.plan.attemptsMax - first.attempts)
        terms.set(time(until: deadline))
        var (outcome, _) = try await attempt(request, terms, on: slot, over: found)
        outcome.attempts += first.attempts
        outcome.retriesUnwritten += first.retriesUnwritten + 1
        outcome.retriesIdempotent += first.retriesIdempotent
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

    /// - Parameter found: Those to balance over; nil: those that are known, or else are found.
    /// - Returns: How it ended, and the revision of the nodes.
    nonisolated(nonsending) private func attempt(
        _ request: ClientRequest, _ terms: CallTerms, on slot: ClientLoop,
        over found: FoundNodes? = nil
    ) async throws -> (CallOutcome, revision: UInt64) {
        let waits = request.options.waitsForReady && request.options.address == nil
        if waits, found == nil { return try await attemptOnFound(request, terms, on: slot) }
        let call = PendingCall(on: slot.loop, terms)
        if waits, let found {
            await follow(request, for: found.query, on: slot) {
                await self.run(call, request, on: slot, over: found.nodes)
            }
        } else {
            await run(call, request, on: slot, over: found?.nodes)
        }
        guard let outcome = try call.takeOutcome() else {
            return try await attemptOnFound(request, terms, on: slot)
        }
        return (outcome, call.revision)
    }

    nonisolated(nonsending) private func attemptOnFound(
        _ request: ClientRequest, _ terms: CallTerms, on slot: ClientLoop
    ) async throws -> (CallOutcome, revision: UInt64) {
        let found = try await findNodes(for: request, until: terms.deadline)
        var terms = terms
        terms.set(terms.deadline.map { time(until: $0) })
        return try await attempt(request, terms, on: slot, over: found)
    }

    /// Starts a call, in place when it is on its loop, and waits for its end.
    nonisolated(nonsending) private func run(
        _ call: PendingCall, _ request: ClientRequest, on slot: ClientLoop, over nodes: NodeSet?
    ) async {
        await call.run {
            if slot.loop.isCurrent { return slot.start(call, request, over: nodes) }
            let accepted = slot.loop.execute {
                if call.isWaiting { slot.start(call, request, over: nodes) }
            }
            if !accepted {
                call.finish(
                    .failed(MicroError("client", .unavailable, "the event loop has ended")))
            }
        }
    }

    /// Runs `body`, a call that waits for a node: those that come meanwhile are nodes to try.
    private func follow(
        _ request: ClientRequest, for query: RouteQuery, on slot: ClientLoop,
        _ body: @escaping @Sendable () async -> Void
    ) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await body() }
            group.addTask { [directory] in
                await directory.follow(request, for: query, on: slot)
            }
            await group.next()
            group.cancelAll()
        }
    }

    /// - Parameter afresh: Asks where the nodes come from, whatever is remembered.
    nonisolated(nonsending) func findNodes(
        for request: ClientRequest, until deadline: EventLoopClock.Instant?, afresh: Bool = false
    ) async throws -> FoundNodes {
        if let address = request.options.address {
            let node = BalancedNode(
                id: address, addresses: [address], weight: 1, isDraining: false)
            return FoundNodes(
                nodes: NodeSet(revision: 1, nodes: [node]), query: RouteQuery())
        }
        let (directory, service) = (directory, request.service)
        let query = directory.query(for: request)
        if !afresh, let known = directory.known(service, for: query) {
            return FoundNodes(nodes: known, query: query)
        }
        do {
            // A stream may last for ever, but not the search for its node.
            let patience =
                deadline.map { environment.clock.now.duration(to: $0) } ?? options.timeout
            return try await withTimeout(
                patience, on: environment.clock,
                "\(service)/\(request.endpoint)", "finding the nodes of \(service)"
            ) {
                if afresh { await directory.refresh(service) }
                let nodes = try await directory.nodes(of: service, for: query)
                return FoundNodes(nodes: nodes, query: query)
            }
        } catch let error as MicroError
            where request.options.waitsForReady && error.code != .deadlineExceeded
            && error.code != .invalidArgument
        {
            let none = NodeSet(revision: 0, nodes: [], route: query.choice?.label)
            return FoundNodes(nodes: none, query: query)
        }
    }

    func response(_ outcome: CallOutcome, _ request: ClientRequest) throws -> ClientResponse {
        guard outcome.code == 0 else {
            throw Client.failure(outcome, CallReport(outcome), request)
        }
        return ClientResponse(outcome)
    }
}

/// The nodes for a call, and what it has asked of them.
struct FoundNodes: Sendable {
    var nodes: NodeSet
    var query: RouteQuery
}

extension ClientResponse {
    fileprivate init(_ outcome: consuming CallOutcome) {
        let wasCompressed = outcome.wasCompressed
        let report = CallReport(
            node: outcome.node, attempts: outcome.attempts,
            retriesUnwritten: outcome.retriesUnwritten,
            retriesIdempotent: outcome.retriesIdempotent, hedges: outcome.hedges)
        self.init(
            contentType: outcome.contentType, body: outcome.body, metadata: outcome.headers,
            trailers: outcome.trailers, report: report)
        self.wasCompressed = wasCompressed
    }
}
