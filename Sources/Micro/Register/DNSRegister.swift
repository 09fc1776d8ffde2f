public import Logging
internal import Synchronization

/// A register that reads DNS: services are names there, their nodes SRV records or addresses. It is
/// read-only: what is in DNS is changed where its zone is kept.
///
/// A watch asks again when the records' time to live is over, a bit later each time by chance, so
/// that not all ask at once. While no server answers, what was known last is what there is, and the
/// watch says that it is interrupted. There is one namespace, the standard one, and DNS can't list
/// names: a watch of all services never says anything.
public final class DNSRegister: Register {
    private let source: DNSNodes
    private let environment: Environment
    private let logger: Logger
    private let numbering = RegisterNumbering()
    private let state = Mutex(State())

    private struct State {
        var watches: [UInt64: RegisterFeed] = [:]
        var last: UInt64 = 0
        var isClosed = false
    }

    /// "dns".
    public var name: String { "dns" }

    /// - Parameters:
    ///   - options: Where services are found.
    ///   - environment: What it runs on.
    ///   - logger: Told when a service has more nodes than are taken.
    /// - Throws: ``MicroError`` `invalidArgument` for options that make no sense.
    public init(
        _ options: DNSOptions = DNSOptions(), environment: Environment = .current,
        logger: Logger = Logger(label: "micro.register")
    ) throws {
        try options.check()
        self.source = DNSNodes(options, environment)
        self.environment = environment
        self.logger = logger
    }

    deinit { end() }

    /// "the dns names _grpc._tcp.{service}", and of which servers.
    public func describe() -> String {
        let options = source.options
        let port = options.port.map { ":\($0)" } ?? ""
        let servers =
            options.servers.isEmpty ? "" : " of \(options.servers.joined(separator: ", "))"
        return "the dns names \(options.name)\(port)\(servers)"
    }

    /// - Throws: ``MicroError`` `unimplemented`: DNS is read-only.
    public func register(_ node: ServiceNode, ttl: Duration) async throws {
        try node.validate()
        try RegisterName.checkTTL(ttl)
        try checkOpen()
        throw MicroError(
            "register", .unimplemented,
            "\(describe()) can only be read: \(node.service) has to be added where the zone is kept,"
                + " or registered elsewhere", reason: "READ_ONLY")
    }

    /// Nothing was registered here: nothing is removed.
    public func deregister(_ node: ServiceNode) async throws { try checkOpen() }

    /// See ``Register/lookup(_:namespace:)``. What is remembered is not asked again before its time
    /// is over.
    public func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] {
        try RegisterName.check(service, "service")
        try RegisterName.checkQuery(namespace: namespace)
        try checkOpen()
        guard DNSRegister.isOurs(namespace) else { return [] }
        return try await source.ask(service, isFresh: false).nodes
    }

    /// - Throws: ``MicroError`` `unimplemented`: DNS has no list of names.
    public func list(namespace: String) async throws -> [ServiceRecord] {
        try RegisterName.checkQuery(namespace: namespace)
        try checkOpen()
        throw MicroError(
            "register", .unimplemented, "\(describe()): DNS can't list names", reason: "NO_LIST")
    }

    /// See ``Register/watch(_:namespace:)``. It begins with a question, whatever is remembered.
    public func watch(_ service: String?, namespace: String) -> RegisterEvents {
        let feed = RegisterFeed(numbering: numbering)
        let id = state.withLock { state -> UInt64? in
            guard !state.isClosed else { return nil }
            state.last += 1
            state.watches[state.last] = feed
            return state.last
        }
        guard let id else {
            feed.finish()
            return feed.watch(service, namespace: namespace)
        }
        let follower = Follower(register: self, id: id)
        let events = feed.watch(service, namespace: namespace, keeping: follower)
        guard let service, RegisterName.isValid(service) else { return events }
        guard DNSRegister.isOurs(namespace) else {
            feed.replace(with: [])
            return events
        }
        let poll = Poll(
            source: source, feed: feed, service: service, environment: environment, logger: logger)
        follower.keep(environment.spawn { await poll.run() })
        return events
    }

    /// See ``Register/close()``.
    public func close() async { end() }

    private func end() {
        let watches = state.withLock { state in
            state.isClosed = true
            defer { state.watches = [:] }
            return state.watches.sorted { $0.key < $1.key }.map(\.value)
        }
        for feed in watches { feed.finish() }
        source.close()
    }

    private func checkOpen() throws {
        if state.withLock({ $0.isClosed }) { throw closedError }
    }

    private static func isOurs(_ namespace: String) -> Bool {
        namespace == RegisterNamespace.standard || namespace == RegisterNamespace.wildcard
    }

    /// Lives as long as its watch, and keeps the register for so long.
    private final class Follower: Sendable {
        private let register: DNSRegister
        private let id: UInt64
        private let task = Mutex<SpawnedTask?>(nil)

        init(register: DNSRegister, id: UInt64) {
            self.register = register
            self.id = id
        }

        func keep(_ task: SpawnedTask) { self.task.withLock { $0 = task } }

        deinit {
            task.withLock { $0.take() }?.cancel()
            register.state.withLock { _ = $0.watches.removeValue(forKey: id) }
        }
    }
}

/// Asks for a service again and again, and tells a feed.
private struct Poll: Sendable {
    let source: DNSNodes
    let feed: RegisterFeed
    let service: String
    let environment: Environment
    let logger: Logger

    /// After how many seconds a question that failed is asked again, at most.
    private static let failurePauseMax = 5

    func run() async {
        var failures = 0
        var isLoaded = false
        var cut = 0
        while feed.isWatched, !Task.isCancelled {
            var pause = source.options.intervalMin
            do {
                let answer = try await source.ask(service, isFresh: !isLoaded)
                tell(answer, isLoaded: isLoaded)
                isLoaded = true
                failures = 0
                pause = max(pause, answer.timeToLive)
                if answer.cut != cut, answer.cut > 0 { sayCut(answer) }
                cut = answer.cut
            } catch let error as MicroError {
                feed.interrupt(error)
                failures = min(failures + 1, Poll.failurePauseMax)
                pause = max(pause, .seconds(failures))
            } catch {
                return
            }
            do { try await environment.clock.sleep(for: jittered(pause)) } catch { return }
        }
    }

    private func tell(_ answer: DNSNodes.Answer, isLoaded: Bool) {
        let isCurrent = answer.age == .zero
        if isCurrent || !isLoaded { feed.replace(with: answer.nodes) }
        if isCurrent { return }
        feed.interrupt(
            MicroError(
                "register", .unavailable,
                "no name server answers about \(service); what is known is \(answer.age) too old"))
    }

    private func sayCut(_ answer: DNSNodes.Answer) {
        logger.warning(
            "a service has more nodes in DNS than are taken",
            metadata: [
                "service": "\(service)", "taken": "\(answer.nodes.count)", "more": "\(answer.cut)",
            ])
    }

    /// Up to a tenth longer.
    private func jittered(_ pause: Duration) -> Duration {
        let permille = Int64(clamping: environment.random() % 101)
        return pause + .nanoseconds(pause.clampedNanoseconds / 1000 * permille)
    }
}
