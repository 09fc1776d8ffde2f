extension Client {
    /// Says what would become of a call, without making it. Where the nodes come from is asked as a
    /// call would; no node is.
    ///
    /// Called inside of a handler, it inherits as a call would. Where chance decides, between the
    /// subsets of a rule for instance, each explanation is one of those that are possible.
    ///
    /// - Parameters:
    ///   - service: The service as it stands in the register.
    ///   - endpoint: "Service.Method", or in full "package.Service/Method".
    ///   - options: Those of the call.
    /// - Throws: ``MicroError`` — `invalidArgument` for options that no call may have. What would
    ///   make the call fail later is ``CallExplanation/failure``. `CancellationError`.
    public func explain(
        _ service: String, _ endpoint: String, options: CallOptions = CallOptions()
    ) async throws -> CallExplanation {
        try options.metadata.validate()
        var request = ClientRequest(
            service: service, endpoint: endpoint, body: [], options: options)
        var explanation = CallExplanation(
            service: service, endpoint: endpoint, source: source(options), nodes: [],
            retry: try retry(request), policies: [])
        let time: CallTime?
        (time, explanation.time) = try budget(&request)
        explanation.policies = await policies(of: service, endpoint)
        let resolution: Resolution
        do {
            resolution = try await find(request, within: time)
        } catch let error as MicroError {
            explanation.failure = CallExplanation.Failure(error)
            return explanation
        }
        explanation.source.age = resolution.age.seconds
        await explain(resolution, request, &explanation)
        if time == nil { explanation.failure = CallExplanation.Failure(Client.late(request)) }
        return explanation
    }

    // MARK: Time and retries

    /// What the call would inherit goes into `request`.
    private func budget(
        _ request: inout ClientRequest
    ) throws -> (CallTime?, CallExplanation.Time?) {
        let terms = try terms(of: request)
        let policy = currentPolicies.policy(request.service, request.endpoint)
        let own = request.options.timeout ?? policy.timeout ?? options.timeout
        let isDefault = request.options.timeout == nil
        let isPolicy = policy.timeout != options.timeout
        guard let time = try? inherit(into: &request, terms.timeout) else { return (nil, nil) }
        let left = Duration.nanoseconds(Int64(clamping: time.left))
        let origin =
            if left < own {
                "what is left of the surrounding call, less "
                    + secondsText(Client.inheritedMargin.seconds)
            } else {
                isDefault
                    ? (isPolicy ? "as the policy says" : "the client's default")
                    : "as the call says"
            }
        return (
            time,
            CallExplanation.Time(
                total: left.seconds, origin: origin,
                attempt: (request.options.attemptTimeout ?? policy.attemptTimeout)?.seconds)
        )
    }

    private func retry(_ request: ClientRequest) throws -> CallExplanation.Retry {
        let plan = CallTerms(request, try terms(of: request), options, within: nil).plan
        return CallExplanation.Retry(
            attempts: plan.attemptsMax, isIdempotent: plan.isIdempotent,
            waitsForReady: plan.waitsForReady, budgetPercent: options.retryBudgetPercent,
            budgetPerSecond: options.retryBudgetPerSecond)
    }

    // MARK: Nodes

    private func source(_ options: CallOptions) -> CallExplanation.Source {
        CallExplanation.Source(
            name: options.address == nil ? directory.place : "the call's options", age: 0)
    }

    private func find(
        _ request: ClientRequest, within time: CallTime?
    ) async throws -> Resolution {
        if let address = request.options.address {
            let node = ResolvedNode(id: address, addresses: [address], version: "")
            return Resolution(service: request.service, nodes: [node], revision: 1)
        }
        let patience = time.map { Duration.nanoseconds(Int64(clamping: $0.left)) }
        return try await withTimeout(
            patience ?? options.timeout, on: environment.clock,
            "\(request.service)/\(request.endpoint)", "finding the nodes of \(request.service)"
        ) { [directory] in
            try await directory.resolve(request.service)
        }
    }

    private func explain(
        _ resolution: Resolution, _ request: ClientRequest, _ explanation: inout CallExplanation
    ) async {
        let hasAddress = request.options.address != nil
        let query = hasAddress ? RouteQuery() : directory.query(for: request)
        explanation.rule = query.choice.map { choice in
            CallExplanation.Rule(
                name: choice.rule,
                steps: query.steps(among: resolution.nodes).map {
                    CallExplanation.Step(
                        subset: $0.subset.description, ready: $0.ready, draining: $0.draining,
                        starting: $0.starting)
                })
        }
        let judge = NodeJudge(
            query,
            routed: hasAddress ? resolution.nodes : directory.route(resolution, for: query),
            over: Transports(options.transports))
        explanation.nodes = resolution.nodes.map(judge.node)
        let records = await records(
            of: TargetKey(request.service, request.options, query.choice),
            nodes: explanation.nodes.filter { $0.verdict != .no }.map(\.id))
        for index in explanation.nodes.indices {
            explanation.nodes[index].take(records[explanation.nodes[index].id])
        }
        explanation.failure = judge.failure(explanation.nodes, resolution)
        if explanation.failure == nil {
            explanation.pick = pick(
                among: explanation.nodes, currentPolicies.balancing(of: request.service).selector)
        }
    }

    private func pick(
        among nodes: [CallExplanation.Node], _ selector: Selector
    ) -> CallExplanation.Pick {
        var pool = nodes.filter { $0.verdict == .candidate }
        if pool.isEmpty { pool = nodes.filter { $0.verdict == .reserve } }
        return CallExplanation.Pick(
            selector: selector.description, candidates: pool.count,
            node: pool.count == 1 ? pool[0].id : nil)
    }

    /// What the loops know of nodes, by id.
    private func records(
        of key: TargetKey, nodes ids: [String]
    ) async -> [String: CallExplanation.Record] {
        var records: [String: CallExplanation.Record] = [:]
        for slot in madeSlots {
            let stats = try? await slot.loop.run { slot.stats(of: key, nodes: ids) }
            for (id, stats) in stats ?? [:] {
                records[id, default: CallExplanation.Record()].add(stats)
            }
        }
        return records
    }
}

/// Says of each node whether it may be called, and why.
private struct NodeJudge {
    let query: RouteQuery
    let transports: Transports
    private let routed: [String: ResolvedNode]
    private let nearest: Int
    /// The step of the rule that counts.
    private let step: NodeSubset?

    init(
        _ query: RouteQuery, routed: [ResolvedNode], over transports: Transports
    ) {
        self.query = query
        self.transports = transports
        self.routed = Dictionary(routed.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
        let reachable = routed.filter { NodeJudge.address(of: $0, transports) != nil }
        self.nearest = reachable.map(\.rank).min() ?? 0
        self.step = query.choice?.subsets.first { subset in
            !routed.isEmpty && routed.allSatisfy(subset.matches)
        }
    }

    private static func address(
        of node: ResolvedNode, _ transports: Transports
    ) -> TransportAddress? {
        node.addresses.lazy.map { TransportAddress($0) }.first { transports.carries($0.scheme) }
    }

    func node(_ node: ResolvedNode) -> CallExplanation.Node {
        let address = NodeJudge.address(of: node, transports)
        let (verdict, reason) = judge(node, address)
        return CallExplanation.Node(
            id: node.id, address: address?.description ?? node.address, version: node.version,
            zone: node.zone, state: "\(node.state)", weight: Int(node.weight), verdict: verdict,
            reason: reason)
    }

    private func judge(
        _ node: ResolvedNode, _ address: TransportAddress?
    ) -> (CallExplanation.Verdict, String) {
        guard routed[node.id] != nil else { return (.no, exclusion(of: node)) }
        guard address != nil else {
            let problems = node.addresses.map { TransportAddress($0) }
                .compactMap(transports.problem(with:))
            return (.no, problems.isEmpty ? "has no address" : problems.joined(separator: "; "))
        }
        if node.rank > nearest { return (.reserve, "is further away than others") }
        if node.state == .draining { return (.candidate, "drains, and there is no other") }
        return (.candidate, "takes calls")
    }

    private func exclusion(of node: ResolvedNode) -> String {
        if node.state == .starting { return "starts: takes no calls yet" }
        if let version = query.version, version != node.version {
            return "version \(version) is asked for"
        }
        if let choice = query.choice {
            if let step, !step.matches(node) {
                return "rule \(choice.rule) leads to \(step)"
            }
            if step == nil { return "is in no subset of rule \(choice.rule)" }
        }
        return node.state == .draining
            ? "drains, and others take calls" : "is left out by the router"
    }

    /// Why a call would fail.
    func failure(
        _ nodes: [CallExplanation.Node], _ resolution: Resolution
    ) -> CallExplanation.Failure? {
        guard nodes.allSatisfy({ $0.verdict == .no }) else { return nil }
        guard !routed.isEmpty else {
            return CallExplanation.Failure(NodeDirectory.noMatch(resolution, query))
        }
        return CallExplanation.Failure(
            MicroError.unavailable(
                "client",
                "no node of \(resolution.service) has an address that can be connected to"))
    }
}

extension CallExplanation.Failure {
    fileprivate init(_ error: MicroError) {
        self.init(code: Int(error.code.rpc), detail: error.detail)
    }
}

extension CallExplanation.Node {
    fileprivate mutating func take(_ record: CallExplanation.Record?) {
        self.record = record
        guard let record, record.loops > 0, record.reserve == record.loops, verdict == .candidate
        else { return }
        (verdict, reason) = (.reserve, record.why)
    }
}

extension CallExplanation.Record {
    fileprivate mutating func add(_ stats: NodeStats) {
        loops += 1
        connected += stats.isConnected ? 1 : 0
        if let why = stats.reserve {
            reserve += 1
            self.why = "\(why)"
        }
        inFlight += stats.inFlight
        successes += stats.successes
        failures += stats.failures
        if let mean = stats.latency?.seconds { latency = max(latency ?? 0, mean) }
    }
}

extension Duration {
    var seconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}
