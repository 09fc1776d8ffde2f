public import Logging
internal import Synchronization

/// A service: handlers, and everything that a node of a distributed system needs around them.
///
/// ```swift
/// let service = MicroService(name: "greeter", version: "1.0.0")
/// service.handle("Greeter.Hello") { (request: HelloRequest, context) in
///     HelloReply(message: "Hello, \(request.name)")
/// }
/// try await service.run()
/// ```
///
/// Making it and adding handlers only records: no file, socket or thread is touched. ``run()``
/// reports all that is wrong at once, then registers, serves, and drains on SIGTERM, SIGINT or
/// cancellation. Safe to use from any thread.
public final class MicroService: EndpointHost {
    /// The name under which the service is found.
    public let name: String
    /// The version that the register shows.
    public let version: String
    /// How it runs.
    public let options: ServiceOptions
    /// The id of this node: the name and a random part.
    public let nodeID: String
    let environment: Environment
    private let engines: ServiceEngines
    private let server: Server
    private let shutdown = ShutdownTrigger()
    private let state = Mutex(State())

    private struct State {
        var subscriptions: [RecordedSubscription] = []
        var beforeStart: [Hook] = []
        var afterStart: [Hook] = []
        var beforeStop: [Hook] = []
        var afterStop: [Hook] = []
        var phase = Phase.idle
        var registration: Registration?
        var ending: Ending?
        var report = DrainReport()
    }

    /// The end of a service, for all who wait for it.
    private struct Ending: Sendable {
        let task: SpawnedTask
        let outcome: Outcome

        final class Outcome: Sendable {
            let failure = Mutex<(any Error)?>(nil)
        }
    }

    enum Phase { case idle, starting, ready, stopping, stopped }

    /// Run at a point of the service's life; throwing before or after the start stops it again.
    public typealias Hook = @Sendable () async throws -> Void

    /// - Parameters:
    ///   - name: Letters, digits, "_", "-" and ".".
    ///   - version: What the register shows; callers may ask for one.
    ///   - options: Everything that has a default.
    public init(
        name: String, version: String = "latest", options: ServiceOptions = ServiceOptions()
    ) {
        let environment = Environment.current
        var options = options
        if options.server.addresses.isEmpty { options.server.addresses = environment.addresses }
        if options.transports.isEmpty { options.transports = TransportPlugin.configured }
        options.server.transports += options.transports
        options.client.transports += options.transports
        if options.client.balancing.zone.isEmpty { options.client.balancing.zone = options.zone }
        options.logger[metadataKey: "service"] = .string(name)
        self.name = name
        self.version = version
        self.options = options
        self.environment = environment
        self.nodeID = "\(name)-\(String(environment.random(), radix: 16))"
        self.engines = ServiceEngines(options: options, environment: environment)
        self.server = Server(
            name: name, options: options.server, codecs: options.codecs, environment: environment,
            logger: options.logger, client: engines.client)
        server.health.follow { [weak self] in self?.readiness.isReady ?? false }
    }

    // MARK: The parts of the service

    /// Calls other services. Connects on first use.
    public var client: Client { engines.client }
    /// Publishes and subscribes. Connects on first use.
    public var broker: any Broker { engines.broker }
    /// Keeps records. Connects on first use.
    public var store: any Store { engines.store }
    /// Holds locks. Connects on first use.
    public var sync: any Sync { engines.sync }
    /// Where nodes are found. Connects on first use.
    public var register: any Register { engines.register }
    /// What the service logs with.
    public var logger: Logger { options.logger }

    /// The bound addresses, each "scheme://address", while the service runs.
    public var addresses: [String] { server.addresses }
    /// The limits of an endpoint; with nil, those of all endpoints together.
    public func limits(of endpoint: String? = nil) -> CallLimits { server.limits(of: endpoint) }

    /// Sets other limits, also while the service runs; see ``Server/setLimits(_:of:)``.
    public func setLimits(_ limits: CallLimits, of endpoint: String? = nil) throws {
        try server.setLimits(limits, of: endpoint)
    }

    /// What the server has done so far.
    public var statistics: ServerStatistics { server.statistics }

    /// What callers are told when they ask for the health of the service: serving while
    /// ``readiness`` says so, unless the program says otherwise.
    public var health: Health { server.health }

    /// Whether the service takes calls: it has started, is in the register, and is not stopping.
    /// False comes with the reason.
    public var readiness: (isReady: Bool, reason: String) {
        let (phase, registration) = state.withLock { ($0.phase, $0.registration) }
        switch phase {
        case .idle: return (false, "not started")
        case .starting: return (false, "starting")
        case .stopping: return (false, "stopping")
        case .stopped: return (false, "stopped")
        case .ready:
            guard let problem = registration?.problem else { return (true, "ready") }
            return (false, "not in the register: \(problem)")
        }
    }

    // MARK: Recording

    /// How messages may be written, the preferred first.
    public var codecs: Codecs { options.codecs }

    /// Serves an endpoint. Before ``run()``, which reports what is wrong with it.
    public func serve(_ endpoint: ServedEndpoint) { server.serve(endpoint) }

    /// Describes .proto files by reflection. Before ``run()``, which reports what is wrong.
    public func describe(_ files: [[UInt8]]) { server.describe(files) }

    /// Adds a hook around every call that is served; the first is the outermost. Before ``run()``.
    public func hook(_ hook: @escaping ServerHook) { server.hook(hook) }

    /// Runs before anything is opened, in the order of adding.
    public func beforeStart(_ hook: @escaping Hook) {
        state.withLock { $0.beforeStart.append(hook) }
    }

    /// Runs when the service takes calls.
    public func afterStart(_ hook: @escaping Hook) {
        state.withLock { $0.afterStart.append(hook) }
    }

    /// Runs first when the service ends, while it still takes calls.
    public func beforeStop(_ hook: @escaping Hook) {
        state.withLock { $0.beforeStop.append(hook) }
    }

    /// Runs last, when everything is closed.
    public func afterStop(_ hook: @escaping Hook) {
        state.withLock { $0.afterStop.append(hook) }
    }

    func record(_ subscription: RecordedSubscription) {
        state.withLock { $0.subscriptions.append(subscription) }
    }

    // MARK: Running

    /// Starts, serves until SIGTERM, SIGINT, ``triggerShutdown()`` or the cancellation of the task,
    /// then ends in order: not ready, out of the register, a moment for callers to learn of it,
    /// GOAWAY, calls in flight, everything closed. A second signal ends the process at once.
    ///
    /// - Throws: ``MicroError``: invalidArgument with all that is wrong with what was recorded;
    ///   what kept it from starting, after what was started was stopped; all that went wrong at the
    ///   end.
    public func run() async throws {
        let signals = try await watchSignals()
        do {
            try await start()
            await shutdown.wait()
            try await stop()
        } catch {
            await signals?.stop()
            throw error
        }
        await signals?.stop()
    }

    /// Makes ``run()`` end in order. Any thread; returns at once; idempotent.
    public func triggerShutdown() { shutdown.pull() }

    private func watchSignals() async throws -> SignalWatch? {
        guard options.handlesSignals, !environment.isSimulated else { return nil }
        let (shutdown, logger) = (shutdown, logger)
        return try await SignalWatch.start(
            [SignalWatch.terminate, SignalWatch.interrupt], on: environment.loops.control
        ) { signal in
            guard shutdown.pull() else { SignalWatch.exitProcess(because: signal) }
            logger.info("ending", metadata: ["signal": "\(signal)"])
        }
    }

    /// Starts the service and returns when it takes calls. ``stop()`` must follow. For tests and
    /// for programs that run several services; others use ``run()``.
    public func start() async throws {
        var problems = self.problems()
        let isFirst = state.withLock { state in
            guard problems.isEmpty, state.phase == .idle else { return false }
            state.phase = .starting
            return true
        }
        guard isFirst else {
            if problems.isEmpty { problems = [MicroService.startedBefore] }
            throw MicroError.invalid("service.run", problems.joined(separator: "; "))
        }
        do {
            try await lifecycle.start()
        } catch {
            state.withLock { $0.phase = .stopped }
            throw error
        }
        logger.info("ready", metadata: ["addresses": "\(addresses.joined(separator: " "))"])
    }

    /// Reads the certificates of server and client again, changed or not: new connections use what
    /// is in their files, and those that are open stay. Files are watched; this is for programs
    /// that want to know of a bad one.
    ///
    /// - Throws: ``MicroError`` that names the file, or the certificate, and the reason; that part
    ///   is then as before.
    public func reloadCertificates() async throws {
        try await server.reloadCertificates()
        try await client.reloadCertificates()
    }

    /// Ends the service in order; see ``run()``, which returns then too. Who calls it again waits
    /// for the same end. Not cut short by the cancellation of the task. Does nothing when the
    /// service does not run.
    ///
    /// - Throws: All that went wrong, together; everything is closed all the same. ``MicroError``
    ///   failedPrecondition while ``start()`` has not returned.
    public func stop() async throws {
        let ending = try state.withLock { state throws(MicroError) in
            switch state.phase {
            case .idle, .stopped, .stopping: return state.ending
            case .starting:
                throw MicroError.failedPrecondition(
                    "service.stop",
                    "the service is still starting: wait for start(), or use run() and "
                        + "triggerShutdown()")
            case .ready:
                state.phase = .stopping
                state.ending = end()
                return state.ending
            }
        }
        health.refresh()
        shutdown.pull()
        guard let ending else { return }
        await ending.task.wait()
        if let failure = ending.outcome.failure.withLock({ $0 }) { throw failure }
    }

    /// In a task of its own: a cancelled one could wait for nothing.
    private func end() -> Ending {
        let outcome = Ending.Outcome()
        let task = environment.spawn {
            do {
                try await self.lifecycle.stop()
            } catch {
                outcome.failure.withLock { $0 = error }
                self.state.withLock { $0.report.problems.append("\(error)") }
            }
            let report = self.state.withLock { state in
                state.phase = .stopped
                return state.report
            }
            self.logger.info("stopped", metadata: ["report": "\(report)"])
        }
        return Ending(task: task, outcome: outcome)
    }

    /// How the service ended: what was in flight, and how long each step took. Complete when
    /// ``run()`` or ``stop()`` has returned, and logged then; nil before.
    public var drainReport: DrainReport? {
        state.withLock { $0.phase == .stopped && $0.ending != nil ? $0.report : nil }
    }

    private func problems() -> [String] {
        let (phase, subscriptions) = state.withLock { ($0.phase, $0.subscriptions) }
        var problems = options.problems + engines.problems + server.problems()
        problems += subscriptions.compactMap(\.problem)
        if phase != .idle { problems.append(MicroService.startedBefore) }
        // The same transport can be the server's and the client's.
        var seen: Set<String> = []
        return problems.filter { seen.insert($0).inserted }
    }

    private static let startedBefore = "the service was started before"

    // MARK: The steps

    private var lifecycle: Lifecycle {
        let hooks = state.withLock { ($0.beforeStart, $0.afterStart, $0.beforeStop, $0.afterStop) }
        return Lifecycle(
            steps: [
                LifecycleStep(
                    name: "hooks before the start",
                    start: { for hook in hooks.0 { try await hook() } },
                    stop: { try await self.runLast(hooks.3, "afterStop") }),
                LifecycleStep(
                    name: "engines",
                    stop: { await self.engines.close(grace: self.options.stepTimeout) }),
                LifecycleStep(
                    name: "client",
                    stop: { await self.client.close(grace: self.options.stepTimeout) }),
                LifecycleStep(
                    name: "server", start: { try await self.server.start() }, stop: stopServer),
                LifecycleStep(
                    name: "subscriptions", start: startSubscriptions, stop: stopSubscriptions),
                LifecycleStep(name: "register", start: enterRegister, stop: leaveRegister),
                LifecycleStep(
                    name: "hooks after the start",
                    start: {
                        for hook in hooks.1 { try await hook() }
                        self.state.withLock { $0.phase = .ready }
                        self.health.refresh()
                    },
                    stop: { try await self.runLast(hooks.2, "beforeStop") }),
            ],
            environment: environment, logger: logger)
    }

    /// Runs every hook, also when one before it throws or takes too long.
    private func runLast(_ hooks: [Hook], _ name: String) async throws {
        var failure: (any Error)?
        for hook in hooks {
            do {
                try await withPatience(
                    options.stepTimeout, in: environment, "service.stop", "a hook of \(name)", hook)
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
    }

    private func stopServer() async throws {
        // A second, so that the end comes soon behind the grace whatever handlers do.
        let cut = try await server.drain(
            grace: options.gracePeriod, patience: min(options.stepTimeout, .seconds(1)))
        if let report = server.drainReport {
            state.withLock { $0.report.add(serverReport: report) }
        }
        if cut > 0 {
            logger.warning(
                "calls were cut off",
                metadata: ["count": "\(cut)", "grace": "\(options.gracePeriod)"])
        }
    }

    private func startSubscriptions() async throws {
        let host = RecordedSubscription.Host(
            service: name, environment: environment, logger: logger, client: client, broker: broker)
        do {
            for subscription in state.withLock({ $0.subscriptions }) {
                try await subscription.start(host)
            }
        } catch {
            try await stopSubscriptions()
            throw error
        }
    }

    private func stopSubscriptions() async throws {
        let timeout = options.gracePeriod
        await withTaskGroup(of: Void.self) { group in
            for subscription in state.withLock({ $0.subscriptions }) {
                group.addTask { await subscription.stop(timeout: timeout) }
            }
        }
    }

    private func enterRegister() async throws {
        let registration = Registration(
            of: node(), in: register, ttl: options.registerTTL, interval: options.registerInterval,
            timeout: options.stepTimeout, environment: environment, logger: logger,
            changed: { [health] in health.refresh() })
        state.withLock { $0.registration = registration }
        await registration.start()
    }

    private func leaveRegister() async throws {
        let registration = state.withLock { $0.registration }
        defer { state.withLock { $0.registration = nil } }
        let clock = environment.clock
        let began = clock.now
        // A register that can't be reached does not keep the service from ending.
        try await withPatience(
            options.stepTimeout, in: environment, "service.stop",
            "leaving \(register.describe())"
        ) {
            try await registration?.stop()
        }
        let left = clock.now
        try await clock.sleep(for: options.drainDelay)
        state.withLock { state in
            state.report.deregistering = began.duration(to: left)
            state.report.propagating = left.duration(to: clock.now)
        }
    }

    /// The codecs of the service, and what else its endpoints speak: protobuf.
    private var codecNames: [String] {
        server.endpoints.flatMap(\.forms).reduce(into: options.codecs.names) { names, form in
            if !names.contains(form) { names.append(form) }
        }
    }

    private func node() -> ServiceNode {
        let advertised =
            options.advertisedAddresses.isEmpty
            ? addresses.map(AdvertisedAddress.reachable) : options.advertisedAddresses
        return ServiceNode(
            id: nodeID, service: name, version: version, namespace: options.namespace,
            addresses: advertised, weight: options.weight, zone: options.zone,
            metadata: options.nodeMetadata.merging(["pid": String(ProcessEnvironment.processID)]) {
                given, _ in given
            },
            codecs: codecNames,
            methods: server.endpoints.map {
                EndpointDescription(name: $0.name, request: $0.requestType, reply: $0.replyType)
            })
    }
}

/// What others are told to connect to.
enum AdvertisedAddress {
    /// A bound address, with this machine's own where it was bound to all of them.
    static func reachable(_ bound: String) -> String {
        let address = TransportAddress(bound)
        for anywhere in ["0.0.0.0:", "[::]:"] where address.rest.hasPrefix(anywhere) {
            let port = address.rest.dropFirst(anywhere.count)
            return "\(address.scheme)://\(HostAddress.reachable):\(port)"
        }
        return bound
    }
}
