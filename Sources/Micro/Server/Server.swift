public import Logging
internal import Synchronization

/// Serves endpoints: one listener speaks gRPC over HTTP/2, and plain HTTP over HTTP/2 and HTTP/1.1.
///
/// A ``MicroService`` has one, registers it and drains it; alone it is for programs that do that
/// themselves. Making it and adding handlers only records: ``start()`` opens sockets.
/// Safe to use from any thread.
public final class Server: EndpointHost {
    /// The service's name, as it stands in paths and in the register.
    public let name: String
    let options: ServerOptions
    let environment: Environment
    /// How messages may be written, the preferred first.
    public let codecs: Codecs
    let logger: Logger
    /// What callers are told when they ask for the health of the server.
    public let health: Health
    private let client: LentClient
    let state: Mutex<State>

    struct State {
        var phase = Phase.idle
        var endpoints: [ServedEndpoint] = []
        var descriptions: [[UInt8]] = []
        var hooks: [ServerHook] = []
        var loopServers: [LoopServer] = []
        var certificates: CertificateKeeper?
        var addresses: [String] = []
        var ending: SpawnedTask?
        var end: Result<DrainReport?, any Error> = .success(nil)
        var limiters: ServerLimiters

        fileprivate init(_ options: ServerOptions) { limiters = ServerLimiters(options) }
    }

    enum Phase { case idle, starting, running, stopped }

    /// - Parameters:
    ///   - name: The service's name: letters, digits, "_", "-" and ".".
    ///   - codecs: How messages may be written, the preferred first.
    public convenience init(
        name: String, options: ServerOptions = ServerOptions(), codecs: Codecs = Codecs(),
        environment: Environment = .current, logger: Logger = Logger(label: "micro.server")
    ) {
        self.init(
            name: name, options: options, codecs: codecs, environment: environment,
            logger: logger, client: nil)
    }

    init(
        name: String, options: ServerOptions, codecs: Codecs, environment: Environment,
        logger: Logger, client: (any ContextClient)?
    ) {
        self.name = name
        self.options = options
        self.codecs = codecs
        self.environment = environment
        self.logger = logger
        self.client = LentClient(client)
        self.state = Mutex(State(options))
        self.health = Health(watchesMax: options.maxHealthWatchers)
        health.follow { [weak self] in self?.takesCalls ?? false }
    }

    private var takesCalls: Bool {
        state.withLock { $0.phase == .running && $0.ending == nil }
    }

    /// The bound addresses, each "scheme://address", while the server runs.
    public var addresses: [String] { state.withLock { $0.addresses } }

    /// Adds a hook around every call; the first is the outermost. Before ``start()``.
    public func hook(_ hook: @escaping ServerHook) { state.withLock { $0.hooks.append(hook) } }

    /// What the endpoints are called, and what their messages are.
    var endpoints: [ServedEndpoint] { state.withLock { $0.endpoints } }

    /// Serves an endpoint. Before ``start()``, which reports what is wrong with it.
    public func serve(_ endpoint: ServedEndpoint) {
        state.withLock { $0.endpoints.append(endpoint) }
    }

    /// Describes .proto files by reflection. Before ``start()``, which reports what is wrong with
    /// them.
    public func describe(_ files: [[UInt8]]) {
        state.withLock { $0.descriptions += files }
    }

    var descriptions: [[UInt8]] { state.withLock { $0.descriptions } }

    /// What is wrong with what was recorded, all of it: names, duplicates, options, addresses.
    func problems() -> [String] {
        let (endpoints, phase) = state.withLock { ($0.endpoints, $0.phase) }
        var problems = options.problems
        if phase != .idle { problems.append(Server.startedBefore) }
        if let problem = EndpointPaths.problem(withService: name) {
            problems.append("the service's name \"\(name)\" \(problem)")
        }
        problems += self.problems(of: endpoints) + collisionsWithOwn(endpoints)
        problems += limitProblems(endpoints) + descriptionProblems
        return problems
    }

    private static let startedBefore = "the server was started before"

    private func problems(of endpoints: [ServedEndpoint]) -> [String] {
        var problems: [String] = []
        var firsts: [String: String] = [:]
        for endpoint in endpoints {
            if let service = endpoint.service, service != name {
                problems.append(
                    "the endpoint \"\(endpoint.name)\" belongs to the service \"\(service)\", "
                        + "not to \"\(name)\"")
            }
            if let problem = EndpointPaths.problem(withEndpoint: endpoint.name) {
                problems.append("the endpoint \"\(endpoint.name)\" \(problem)")
                continue
            }
            let path = EndpointPaths(service: name, endpoint: endpoint.name).canonical
            if let owner = firsts[path] {
                problems.append(
                    owner == endpoint.name
                        ? "the endpoint \"\(endpoint.name)\" is handled twice"
                        : "\"\(endpoint.name)\" and \"\(owner)\" both answer at \(path)")
            } else {
                firsts[path] = endpoint.name
            }
        }
        // Which of two would answer at the other's second name must not be a matter of luck.
        for (path, owner) in firsts.sorted(by: { $0.key < $1.key }) {
            for other in EndpointPaths(service: name, endpoint: owner).others {
                guard let first = firsts[other], other != path else { continue }
                problems.append("\"\(first)\" and \"\(owner)\" both answer at \(other)")
            }
        }
        return problems
    }

    /// Opens the listeners and serves until ``drain(grace:)``.
    ///
    /// - Throws: ``MicroError``: invalidArgument with all that is wrong with what was recorded;
    ///   what the system says about an address, with the address. Nothing stays open then.
    public func start() async throws {
        var problems = self.problems()
        let isFirst = state.withLock { state in
            guard problems.isEmpty, state.phase == .idle else { return false }
            state.phase = .starting
            return true
        }
        guard isFirst else {
            if problems.isEmpty { problems = [Server.startedBefore] }
            throw MicroError.invalid("server.start", problems.joined(separator: "; "))
        }
        do {
            try await open()
            state.withLock { $0.phase = .running }
            health.refresh()
        } catch {
            _ = try? await drain(grace: .zero, patience: Server.patience)
            throw error
        }
    }

    private func open() async throws {
        let routes = try makeRoutes()
        let certificates = try await openCertificates()
        let transports = Transports(options.transports, in: environment)
        let limiter = try state.withLock { try $0.limiters.makeLimiterOfAll() }
        for loop in environment.loops.workers {
            let loopServer = try await LoopServer.create(
                on: loop, routes: routes, limits: options.limits, limiter: limiter, name: "micro",
                transports: transports)
            state.withLock { $0.loopServers.append(loopServer) }
        }
        let loopServers = state.withLock { $0.loopServers }
        guard let acceptor = loopServers.first else { return }
        if loopServers.count > 1 { try await acceptor.setPeers(loopServers) }
        for address in options.listeners {
            let bound = try await acceptor.listen(on: address, tls: certificates?.context)
            state.withLock { $0.addresses.append(bound) }
        }
    }

    private func openCertificates() async throws -> CertificateKeeper? {
        guard let tls = options.tls else { return nil }
        let keeper = try await CertificateKeeper.open(
            tls.rules, tls.material, environment: environment, logger: logger)
        state.withLock { $0.certificates = keeper }
        return keeper
    }

    /// Reads the files of ``ServerOptions/tls`` now, changed or not: new connections use what is in
    /// them, and those that are open stay. Does nothing without them, or when the server does not
    /// run.
    ///
    /// - Throws: ``MicroError`` that names the file, or the certificate, and the reason; then
    ///   everything is as before.
    public func reloadCertificates() async throws {
        try await state.withLock({ $0.certificates })?.reload()
    }

    private func makeRoutes() throws -> HandlerTable {
        let routes = try HandlerTable()
        let runtime = ServerRuntime(
            service: name, environment: environment, logger: logger, client: client,
            hooks: state.withLock { $0.hooks }, compression: options.compression)
        var taken: Set<String> = []
        let endpoints = endpoints
        let services = ServedServices(of: name, endpoints.map(\.name))
        health.begin(serving: services.all)
        for endpoint in ownEndpoints(services) {
            let path = EndpointPaths(service: name, endpoint: endpoint.name).canonical
            try routes.add(
                path: path,
                options: RouteOptions(
                    timeout: endpoint.timeout, streaming: endpoint.kind, isVital: true),
                handler: endpoint.makeHandler(runtime))
            taken.insert(path)
        }
        // Canonical paths first: a second name of one endpoint never hides another's first.
        for endpoint in endpoints {
            let paths = EndpointPaths(service: name, endpoint: endpoint.name)
            try add(endpoint, at: paths.canonical, to: routes, runtime)
            taken.insert(paths.canonical)
        }
        for endpoint in endpoints {
            let paths = EndpointPaths(service: name, endpoint: endpoint.name)
            for path in paths.others where taken.insert(path).inserted {
                try add(endpoint, at: path, to: routes, runtime)
            }
        }
        return routes
    }

    private func add(
        _ endpoint: ServedEndpoint, at path: String, to routes: HandlerTable,
        _ runtime: ServerRuntime
    ) throws {
        let limiter = try state.withLock { try $0.limiters.makeLimiter(of: endpoint.name) }
        try routes.add(
            path: path,
            options: RouteOptions(
                timeout: endpoint.timeout, streaming: endpoint.kind, limiter: limiter),
            handler: endpoint.makeHandler(runtime))
    }

    /// Ends in order: no new connections, callers are told to go elsewhere, calls in flight are
    /// waited for, at most `grace`; then the rest is cut off and everything closed. Idempotent: who
    /// comes later waits too, with the grace of the first. Not cut short by the cancellation of the
    /// task.
    ///
    /// - Returns: How many calls had to be cut off.
    /// - Throws: ``MicroError`` failedPrecondition while ``start()`` has not returned.
    @discardableResult
    public func drain(grace: Duration = .seconds(10)) async throws -> Int {
        if state.withLock({ $0.phase == .starting }) {
            throw MicroError.failedPrecondition("server.drain", "the server is still starting")
        }
        return try await drain(grace: grace, patience: Server.patience)
    }

    private static let patience: Duration = .seconds(5)

    /// - Parameter patience: How long handlers that were cut off are waited for. Those that go on
    ///   all the same are counted, left alone, and named in the log.
    func drain(grace: Duration, patience: Duration) async throws -> Int {
        let ending = state.withLock { state in
            if let ending = state.ending { return ending }
            let loopServers = state.loopServers
            let ending = environment.spawn {
                await self.close(loopServers, grace: grace, patience: patience)
            }
            state.ending = ending
            return ending
        }
        // Who watches would be waited for as for every other call.
        health.end()
        await ending.wait()
        return try state.withLock { try $0.end.get()?.aborted ?? 0 }
    }

    /// How the server ended; nil before it has.
    public var drainReport: DrainReport? {
        state.withLock { state in state.phase == .stopped ? try? state.end.get() : nil }
    }

    private func close(
        _ loopServers: [LoopServer], grace: Duration, patience: Duration
    ) async {
        let environment = environment
        let end: Result<DrainReport?, any Error>
        do {
            // All at once, so that the grace is the same one for all.
            let ended = try await withThrowingTaskGroup(of: (LoopServer, DrainCounts?).self) {
                group in
                for loopServer in loopServers {
                    group.addTask {
                        let counts = try await loopServer.drain(
                            grace: grace, patience: patience, environment: environment)
                        return (loopServer, counts)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            // Not earlier: the first one accepts, and may hand a connection over until it has
            // ended.
            state.withLock { $0.loopServers = [] }
            var report = DrainReport()
            for (loopServer, counts) in ended {
                if let counts {
                    report.add(counts)
                    try await loopServer.destroy()
                } else {
                    report.add(try await abandon(loopServer))
                }
            }
            end = .success(report)
        } catch {
            end = .failure(error)
        }
        let certificates = state.withLock { state in
            state.phase = .stopped
            state.addresses = []
            state.end = end
            return state.certificates.take()
        }
        certificates?.close()
    }

    /// For handlers that go on though they were cancelled.
    private func abandon(_ loopServer: LoopServer) async throws -> DrainCounts {
        let counts = try await loopServer.drainCounts()
        logger.warning(
            "handlers go on though they were cancelled; they are not waited for any more",
            metadata: ["count": "\(counts.running)"])
        return counts
    }

    /// What the server has done so far, over all loops. Zero when it does not run.
    public var statistics: ServerStatistics {
        var sum = ServerStatistics()
        // Under the lock, so that none of them is freed meanwhile.
        state.withLock { state in
            for loopServer in state.loopServers { sum.add(loopServer.counts()) }
            if let counts = state.certificates?.context.counts { sum.add(counts) }
        }
        return sum
    }
}

/// What a server has done, and does now.
public struct ServerStatistics: Sendable, Hashable {
    /// Connections that are open.
    public var connections = 0
    /// Handlers that run.
    public var calls = 0
    /// Connections since the start.
    public var connectionsTotal: UInt64 = 0
    /// Handlers started since the start.
    public var callsTotal: UInt64 = 0
    /// Of those, each event loop's: how evenly the connections are spread.
    public var callsTotalByLoop: [UInt64] = []
    /// Calls that a limit refused.
    public var callsRefused: UInt64 = 0
    /// Of those: because more was offered than could be served.
    public var callsShed: UInt64 = 0
    /// Whether calls are refused for that now, on any event loop.
    public var isOverloaded = false
    /// Connections that ended because the peer broke the protocol.
    public var protocolErrors: UInt64 = 0
    /// TLS handshakes that succeeded.
    public var handshakes: UInt64 = 0
    /// Of those: with a session from before, which costs less.
    public var handshakesResumed: UInt64 = 0
    /// TLS handshakes that failed.
    public var handshakesFailed: UInt64 = 0

    fileprivate mutating func add(_ counts: TLSCounts) {
        handshakes &+= counts.handshakes
        handshakesResumed &+= counts.resumed
        handshakesFailed &+= counts.failures
    }

    fileprivate mutating func add(_ counts: ServerCounts) {
        connections += counts.connections
        calls += counts.calls
        connectionsTotal &+= counts.connectionsTotal
        callsTotal &+= counts.callsTotal
        callsTotalByLoop.append(counts.callsTotal)
        callsRefused &+= counts.callsRefused
        callsShed &+= counts.callsShed
        isOverloaded = isOverloaded || counts.isOverloaded
        protocolErrors &+= counts.protocolErrors
    }
}
