/// The place of a client on one loop. What is in it is made on first use, and touched there only.
final class ClientLoop: @unchecked Sendable {  // its state is touched on its loop only
    let loop: EventLoop
    private let limits: ClientLimits
    private let transports: Transports
    private let tls: ClientTLS
    private let policies: ClientPolicies
    private let directory: NodeDirectory
    private var made: LoopClient?
    private let endpoints = EndpointCache()
    /// Kept apart from the cache, which forgets: what a breaker has counted holds.
    private var groups: [ClientPolicies.EndpointKey: CallGroup] = [:]
    /// Of the policies that all of this goes by.
    private var stamp: UInt64 = 0
    private var targets: [TargetKey: KnownTarget] = [:]
    /// Objects of calls that are over, for the next ones.
    private var spare: [PendingCall] = []
    private var isClosed = false

    init(
        loop: EventLoop, limits: ClientLimits, transports: Transports, tls: ClientTLS,
        policies: ClientPolicies, directory: NodeDirectory
    ) {
        self.loop = loop
        self.limits = limits
        self.transports = transports
        self.tls = tls
        self.policies = policies
        self.directory = directory
    }

    /// On the loop.
    func client() throws(MicroError) -> LoopClient {
        if let made { return made }
        guard !isClosed else { throw MicroError("client", .unavailable, "the client is closed") }
        let client = try LoopClient(
            loop: loop, limits: limits, transports: transports
        ) { [tls] () throws(MicroError) in try tls.context() }
        made = client
        return client
    }

    // MARK: Policies

    /// What is known of an endpoint, by the policies of now. On the loop.
    func endpoint(of request: ClientRequest) throws(MicroError) -> PreparedEndpoint {
        if policies.stamp != stamp { try adoptPolicies() }
        return try endpoints.endpoint(
            request.service, request.endpoint
        ) { () throws(MicroError) in try prepare(request.service, request.endpoint) }
    }

    @inline(never)
    private func prepare(
        _ service: String, _ endpoint: String
    ) throws(MicroError) -> PreparedEndpoint {
        let terms = try policies.terms(service, endpoint)
        let key = ClientPolicies.EndpointKey(service: service, endpoint: endpoint)
        return PreparedEndpoint(service, endpoint, terms, try group(key, terms))
    }

    private func group(
        of endpoint: PreparedEndpoint, _ options: CallOptions
    ) throws(MicroError) -> CallGroup? {
        guard let address = options.address else { return endpoint.group }
        return try group(
            ClientPolicies.EndpointKey(
                service: endpoint.service, endpoint: endpoint.endpoint, address: address),
            endpoint.terms)
    }

    private func group(
        _ key: ClientPolicies.EndpointKey, _ terms: EndpointTerms
    ) throws(MicroError) -> CallGroup? {
        if let known = groups[key] { return known }
        guard !terms.group.isEmpty else { return nil }
        if groups.count >= ClientLoop.groupsMax { groups = [:] }
        let group = try client().makeGroup(terms.group)
        groups[key] = group
        return group
    }

    private static let groupsMax = 4096

    @inline(never)
    private func adoptPolicies() throws(MicroError) {
        let stamp = policies.stamp
        endpoints.removeAll()
        for (key, group) in groups {
            try group.configure(try policies.terms(key.service, key.endpoint).group)
        }
        try made?.configure { policies.targetSettings(of: $0.service) }
        self.stamp = stamp
    }

    // MARK: Calls

    /// On the loop.
    func makeCall(_ terms: CallTerms) -> PendingCall {
        guard let call = spare.popLast() else { return PendingCall(on: loop, terms) }
        call.renew(terms)
        return call
    }

    /// Takes back a call that is over, if nobody else holds it. Any thread.
    func takeBack(_ call: inout PendingCall) {
        guard loop.isCurrent, spare.count < ClientLoop.spareMax, !isClosed,
            isKnownUniquelyReferenced(&call)
        else { return }
        spare.append(call)
    }

    private static let spareMax = 512

    /// Starts a call, or finishes it at once. On the loop.
    ///
    /// - Parameters:
    ///   - endpoint: What is known of it, if that is at hand.
    ///   - nodes: Those to balance over; nil: those that are known.
    func start(
        _ call: PendingCall, _ request: ClientRequest, _ endpoint: PreparedEndpoint? = nil,
        over nodes: NodeSet?
    ) {
        do {
            let client = try client()
            let endpoint = if let endpoint { endpoint } else { try self.endpoint(of: request) }
            guard let target = try target(client, endpoint, request, over: nodes) else {
                return call.finish(.withoutNodes)
            }
            try client.start(
                call, on: target, endpoint.head(for: request.contentType), request.body,
                request.options.metadata, call.terms.plan,
                in: try group(of: endpoint, request.options))
        } catch {
            call.finish(.failed(error))
        }
    }

    /// Opens a stream. On the loop.
    func open(
        _ stream: ClientStreamWatcher, _ request: ClientRequest, _ terms: CallTerms,
        over nodes: NodeSet
    ) throws(MicroError) -> UInt64 {
        let client = try client()
        let endpoint = try endpoint(of: request)
        let key = TargetKey(request.service, request.options, over: nodes)
        return try client.open(
            stream, on: try update(key, to: nodes), endpoint.head(for: request.contentType),
            request.body, request.options.metadata, terms.plan,
            in: try group(of: endpoint, request.options))
    }

    /// Tells a balancer of later nodes. On the loop.
    @discardableResult
    func update(_ key: TargetKey, to nodes: NodeSet) throws(MicroError) -> LoopTarget {
        try client().update(key, to: nodes) { policies.targetSettings(of: key.service) }
    }

    /// What is known here of nodes, by id; nil when the target was not called here. On the loop.
    func stats(of key: TargetKey, nodes ids: [String]) -> [String: NodeStats]? {
        made?.stats(of: key, nodes: ids)
    }

    /// What was counted here of the calls to an endpoint; nil when there was none. On the loop.
    func stats(of service: String, _ endpoint: String) -> CallGroupStats? {
        groups[ClientPolicies.EndpointKey(service: service, endpoint: endpoint)]?.stats
    }

    /// The balancer for a call; nil as long as there are no nodes for it.
    private func target(
        _ client: LoopClient, _ endpoint: PreparedEndpoint, _ request: ClientRequest,
        over nodes: NodeSet?
    ) throws(MicroError) -> LoopTarget? {
        if let nodes {
            return try update(TargetKey(endpoint.service, request.options, over: nodes), to: nodes)
        }
        let isPlain = request.options.version == nil && request.options.address == nil
        if isPlain, let target = endpoint.known?.target(at: endpoint.stamp) { return target }
        return try find(client, endpoint, request, isPlain: isPlain)
    }

    @inline(never)
    private func find(
        _ client: LoopClient, _ endpoint: PreparedEndpoint, _ request: ClientRequest, isPlain: Bool
    ) throws(MicroError) -> LoopTarget? {
        let hasAddress = request.options.address != nil
        let rules = hasAddress ? nil : endpoint.rules(directory)
        // Nodes that come only now would be used without the rules.
        guard hasAddress || endpoint.stamp != 0 else { return nil }
        let choice = rules?.choice(for: RouteCall(request), chance: directory.random)
        let known = known(TargetKey(endpoint.service, request.options, choice), choice)
        if isPlain { endpoint.known = rules == nil ? known : nil }
        return try known.upToDate(self, client, directory)
    }

    private func known(_ key: TargetKey, _ choice: RouteChoice?) -> KnownTarget {
        if let known = targets[key] { return known }
        if targets.count >= ClientLoop.targetsMax {
            targets = [:]
            endpoints.removeAll()
        }
        let known = KnownTarget(key, choice)
        targets[key] = known
        return known
    }

    private static let targetsMax = 4096

    // MARK: The end

    /// Waits for the calls in flight, `grace` at most, and frees all.
    func close(grace: Duration) async {
        await withCheckedContinuation { continuation in
            close(grace: grace) { continuation.resume() }
        }
    }

    /// The same, without waiting for it.
    func close(grace: Duration, _ done: @escaping @Sendable () -> Void) {
        let accepted = loop.execute {
            self.isClosed = true
            self.targets = [:]
            self.endpoints.removeAll()
            self.groups = [:]
            self.spare = []
            guard let client = self.made else { return done() }
            client.close(grace: grace, done)
        }
        if !accepted { done() }
    }
}

/// A balancer of a loop, and what it knows of the state of its nodes. On the loop.
final class KnownTarget {
    private let key: TargetKey
    private let query: RouteQuery
    private var target: LoopTarget?
    private var service: FollowedService?
    /// Of the state of the service that the target has.
    private var stamp: UInt64 = 0

    init(_ key: TargetKey, _ choice: RouteChoice?) {
        self.key = key
        self.query = RouteQuery(version: key.version, choice: choice)
    }

    /// The balancer, if it and the service are still in the state that the stamp stands for.
    func target(at stamp: UInt64) -> LoopTarget? {
        guard stamp == self.stamp, let target, let service, service.stamp == stamp, target.isOpen
        else { return nil }
        service.use()
        return target
    }

    /// The balancer with the newest nodes; nil when they are not at hand.
    func upToDate(
        _ slot: ClientLoop, _ client: LoopClient, _ directory: NodeDirectory
    ) throws(MicroError) -> LoopTarget? {
        if let target = target(at: stamp) { return target }
        return try lookUp(slot, client, directory)
    }

    private func lookUp(
        _ slot: ClientLoop, _ client: LoopClient, _ directory: NodeDirectory
    ) throws(MicroError) -> LoopTarget? {
        target = nil
        if key.address != nil {
            // It has one node for ever, once it was given it.
            guard let target = client.target(key), target.hasNodes else { return nil }
            return target
        }
        guard let service = directory.followed(key.service) else { return nil }
        let (nodes, stamp) = service.nodes(for: query)
        guard let nodes else { return nil }
        let target = try slot.update(key, to: nodes)
        guard target.hasNodes else { return nil }
        (self.service, self.stamp, self.target) = (service, stamp, target)
        service.use()
        return target
    }
}

extension TargetKey {
    init(_ service: String, _ options: CallOptions, _ choice: RouteChoice?) {
        self.init(
            service: service, version: options.version, address: options.address,
            route: choice?.label)
    }

    init(_ service: String, _ options: CallOptions, over nodes: NodeSet) {
        self.init(
            service: service, version: options.version, address: options.address,
            route: nodes.route)
    }
}

extension RouteCall {
    init(_ request: ClientRequest) {
        self.init(
            request.service, request.endpoint, metadata: request.options.metadata,
            version: request.options.version, key: request.options.hashKey)
    }
}
