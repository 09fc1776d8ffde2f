extension Client {
    /// Calls with a message that is written already: for gateways, tools and codecs of one's own.
    /// Passes through the hooks and is observed as every call.
    ///
    /// - Throws: As ``call(_:_:_:as:options:)``.
    public func send(_ request: ClientRequest) async throws -> ClientResponse {
        guard request.kind == .unary else {
            throw MicroError.invalid(
                "client.send", "the request is one of a stream: it has more than one message")
        }
        guard hooks.isEmpty, !telemetry.isEnabled else { return try await sendObserved(request) }
        do {
            var request = request
            let time = try inherit(into: &request, timeout) ?? CallTime(left: timeout, from: turn)
            return try await balance(request, within: time)
        } catch {
            throw reported(error, request)
        }
    }

    private func sendObserved(_ request: ClientRequest) async throws -> ClientResponse {
        try await observed(request, timeout: timeout) {
            // A unary call always has a deadline.
            let deadline = self.deadline(of: $0, $1) ?? self.environment.clock.now
            return try await self.balance($0, within: self.time(until: deadline))
        }
    }

    /// Runs `work`, a call, as a part of what surrounds it: with what it inherits, observed, and
    /// inside the hooks.
    ///
    /// - Parameter timeout: Of a call that does not say its own, in nanoseconds.
    func observed(
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
    private func inherit(
        into request: inout ClientRequest, _ standard: UInt64?
    ) throws -> CallTime? {
        let own = request.options.timeout.map { $0.unsignedNanoseconds } ?? standard
        let context = Context.current
        // A deadline was set by a clock that went on during this turn; a timeout was not.
        let now = context?.deadline == nil ? turn : environment.clock.now
        var deadline = own.map { now.advanced(byNanoseconds: $0) }
        if let context { inherit(into: &request, &deadline, from: context) }
        guard let deadline else { return nil }
        guard deadline > now else {
            throw MicroError(
                "\(request.service)/\(request.endpoint)", .deadlineExceeded,
                "no time is left to call \(request.service): the deadline of the surrounding call, "
                    + "or a timeout of zero, has passed")
        }
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

    /// So that the answer of a service below arrives before our own caller gives up.
    private static let inheritedMargin: Duration = .milliseconds(2)
    private static let inheritedMetadata = ["traceparent", "tracestate", "baggage"]

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
        _ request: ClientRequest, within time: CallTime
    ) async throws -> ClientResponse {
        try request.options.metadata.validate()
        var terms = CallTerms(request, options, within: time)
        var slot = slotAtHand
        if slot == nil { slot = try await self.slot() }
        guard let slot else { throw MicroError("client", .internal, "no event loop for the call") }
        var (outcome, revision) = try await attempt(request, terms, on: slot)
        if outcome.wasNotTaken, terms.attempts > 1, request.options.address == nil,
            environment.clock.now < time.deadline
        {
            // Every node that was known is gone: ask again who is there, and try those, once more
            // at least, since no node has seen anything of it.
            let nodes = try await findNodes(for: request, until: time.deadline, afresh: true)
            if nodes.revision != revision {
                let first = outcome
                terms.attempts = max(1, terms.attempts - first.attempts)
                terms.time = self.time(until: time.deadline)
                (outcome, revision) = try await attempt(request, terms, on: slot, over: nodes)
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

    /// - Parameter nodes: Those to balance over; nil: those that are known, or else are found.
    /// - Returns: How it ended, and the revision of the nodes.
    private func attempt(
        _ request: ClientRequest, _ terms: CallTerms, on slot: ClientLoop,
        over nodes: NodeSet? = nil
    ) async throws -> (CallOutcome, revision: UInt64) {
        let waits = request.options.waitsForReady && request.options.address == nil
        if waits, nodes == nil { return try await attemptOnFound(request, terms, on: slot) }
        let call = PendingCall(on: slot.loop)
        if waits {
            await follow(request, on: slot) {
                await self.run(call, request, terms, on: slot, over: nodes)
            }
        } else {
            await run(call, request, terms, on: slot, over: nodes)
        }
        switch call.end {
        case .over(let outcome): return (outcome, call.revision)
        case .failed(let error): throw error
        case .withoutNodes: return try await attemptOnFound(request, terms, on: slot)
        }
    }

    private func attemptOnFound(
        _ request: ClientRequest, _ terms: CallTerms, on slot: ClientLoop
    ) async throws -> (CallOutcome, revision: UInt64) {
        let nodes = try await findNodes(for: request, until: terms.time?.deadline)
        var terms = terms
        terms.time = terms.time.map { time(until: $0.deadline) }
        return try await attempt(request, terms, on: slot, over: nodes)
    }

    /// Starts a call, in place when it is on its loop, and waits for its end.
    private func run(
        _ call: PendingCall, _ request: ClientRequest, _ terms: CallTerms, on slot: ClientLoop,
        over nodes: NodeSet?
    ) async {
        await call.run {
            if slot.loop.isCurrent { return slot.start(call, request, terms, over: nodes) }
            let accepted = slot.loop.execute {
                if call.isWaiting { slot.start(call, request, terms, over: nodes) }
            }
            if !accepted {
                call.finish(
                    .failed(MicroError("client", .unavailable, "the event loop has ended")))
            }
        }
    }

    /// Runs `body`, a call that waits for a node: those that come meanwhile are nodes to try.
    private func follow(
        _ request: ClientRequest, on slot: ClientLoop, _ body: @escaping @Sendable () async -> Void
    ) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await body() }
            group.addTask { [directory] in await directory.follow(request, on: slot) }
            await group.next()
            group.cancelAll()
        }
    }

    /// - Parameter afresh: Asks where the nodes come from, whatever is remembered.
    func findNodes(
        for request: ClientRequest, until deadline: EventLoopClock.Instant?, afresh: Bool = false
    ) async throws -> NodeSet {
        if let address = request.options.address {
            let node = BalancedNode(id: address, address: address, weight: 1, isDraining: false)
            return NodeSet(revision: 1, nodes: [node])
        }
        let (directory, service) = (directory, request.service)
        if !afresh, let known = directory.known(service, for: request.query) { return known }
        do {
            // A stream may last for ever, but not the search for its node.
            let patience =
                deadline.map { environment.clock.now.duration(to: $0) } ?? options.timeout
            return try await withTimeout(
                patience, on: environment.clock,
                "\(service)/\(request.endpoint)", "finding the nodes of \(service)"
            ) {
                if afresh { await directory.refresh(service) }
                return try await directory.nodes(of: service, for: request.query)
            }
        } catch let error as MicroError
            where request.options.waitsForReady && error.code != .deadlineExceeded
            && error.code != .invalidArgument
        {
            return NodeSet(revision: 0, nodes: [])
        }
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
}
