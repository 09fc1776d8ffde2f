internal import Synchronization

/// A register that is a file which people, or a program of theirs, write: what is in it is there.
///
/// The file is JSON:
///
/// ```json
/// {"nodes": [
///   {"service": "greeter", "address": "tcp://10.0.0.7:4711"},
///   {"service": "greeter", "id": "b", "addresses": ["tcp://10.0.0.8:4711"], "weight": 50}
/// ]}
/// ```
/// The fields are those of ``ServiceNode``, with "methods" as a list of objects with "name",
/// "request", "reply" and "metadata". Only "service" and one address are needed; without an "id" a
/// node is known by its first address, as "10.0.0.7-4711". Anything else is an error.
///
/// The file is read again when it has changed: before a lookup that is asked for then, and within
/// a second for a watch. One that is missing or has a mistake changes nothing: what was read last
/// still counts, and watchers are told with ``RegisterEvent/Change/interrupted(_:)``. Whoever
/// writes it should write another file and rename it; a file that is seen half written is taken for
/// one with a mistake until it is complete.
///
/// It is only read: ``register(_:ttl:)`` and ``deregister(_:)`` throw. Behind a
/// ``RegisterResolver`` it is the resolver of a file.
public final class FileRegister: Register {
    /// The largest file, in bytes.
    public static let maxBytes = 16 << 20

    private let environment: Environment
    private let path: String
    private let queue: BlockingQueue
    private let feed = RegisterFeed()
    private let bell = WakeUp()
    private let monitor: SoleTask
    private let state = Mutex(State())

    private struct State {
        var stamp: FileStamp?
        /// What was read last; nil before the first time that it could be.
        var nodes: [ServiceNode]?
        /// Why what is there now could not be read.
        var problem: MicroError?
    }

    /// "file".
    public var name: String { "file" }

    /// A register in a file. Nothing is read before it is used.
    ///
    /// - Parameters:
    ///   - path: Relative to the working directory, or absolute.
    ///   - environment: Its clock, its worker threads, its control loop.
    public init(path: String, environment: Environment = .current) {
        self.environment = environment
        self.path = path
        self.queue = BlockingQueue(environment: environment)
        self.monitor = SoleTask(environment: environment)
    }

    /// "the file register /etc/shop/nodes.json".
    public func describe() -> String { "the file register \(path)" }

    /// Throws ``MicroError`` `unimplemented`: the file has to be edited; `unavailable` after
    /// ``close()``.
    public func register(_ node: ServiceNode, ttl: Duration) async throws { throw readOnly() }

    /// Throws ``MicroError`` `unimplemented`: the file has to be edited; `unavailable` after
    /// ``close()``.
    public func deregister(_ node: ServiceNode) async throws { throw readOnly() }

    private func readOnly() -> MicroError {
        guard !monitor.isClosed else { return closedError }
        return .unimplemented(
            "register", "\(describe()) is only read: nodes come and go by writing the file")
    }

    /// See ``Register/lookup(_:namespace:)``. A file that never could be read is `unavailable`.
    public func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] {
        try RegisterName.check(service, "service")
        return try await nodes(RegisterFilter(service: service, namespace: namespace))
    }

    /// See ``Register/list(namespace:)``. A file that never could be read is `unavailable`.
    public func list(namespace: String) async throws -> [ServiceRecord] {
        ServiceRecord.grouping(
            try await nodes(RegisterFilter(service: nil, namespace: namespace)))
    }

    /// See ``Register/watch(_:namespace:)``.
    public func watch(_ service: String?, namespace: String) -> RegisterEvents {
        let events = feed.watch(service, namespace: namespace, keeping: self)
        startMonitor()
        bell.ring()
        return events
    }

    /// See ``Register/close()``.
    public func close() async {
        monitor.close()
        state.withLock { $0.nodes = nil }
        feed.finish()
    }

    private func nodes(_ filter: RegisterFilter) async throws -> [ServiceNode] {
        try RegisterName.checkQuery(namespace: filter.namespace)
        let (nodes, problem) = try await load()
        guard let nodes else { throw problem ?? closedError }
        return nodes.filter(filter.matches).sorted(by: ServiceRecord.order)
    }

    // MARK: Reading

    /// What is known after a look at the file, and what is wrong with it. Pieces of work are done
    /// one after the other, so that nobody puts an older state in place of a newer one.
    private func load() async throws -> (nodes: [ServiceNode]?, problem: MicroError?) {
        try await queue.run {
            guard !self.monitor.isClosed else { throw self.closedError }
            let known = self.state.withLock { $0 }
            // Asked before the file is read: what changes meanwhile is seen as a change.
            let stamp = FileStamp(self.path)
            if let stamp, stamp == known.stamp { return (known.nodes, known.problem) }
            let outcome = self.read()
            return self.state.withLock { state in
                guard !self.monitor.isClosed else { return (nil, nil) }
                state.stamp = stamp
                switch outcome {
                case .success(let nodes): (state.nodes, state.problem) = (nodes, nil)
                case .failure(let error): state.problem = error
                }
                return (state.nodes, state.problem)
            }
        }
    }

    private func read() -> Result<[ServiceNode], MicroError> {
        Result {
            try NodeDocument.nodes(try readFile(path, maxBytes: FileRegister.maxBytes))
        }.mapError { error in
            let cause = MicroError(error, id: "register")
            return MicroError(
                "register", .unavailable, "\(describe()): \(cause.detail)", reason: cause.reason,
                metadata: cause.metadata)
        }
    }

    // MARK: Watching

    /// How often to look at the file without a hint.
    private static let interval: Duration = .seconds(1)
    /// Who writes is given the time to write it all.
    private static let settling: Duration = .milliseconds(50)

    private func startMonitor() {
        monitor.begin { [weak self, bell, path, environment] in
            let hint = await bell.listen(to: parentFolder(of: path), in: environment)
            let clock = environment.clock
            while await self?.look() ?? false {
                await bell.wait(atMost: FileRegister.interval, clock: clock)
                try? await clock.sleep(for: FileRegister.settling)
            }
            hint?.cancel()
        }
    }

    /// Looks once; false when nobody watches any more, or the register was closed.
    private func look() async -> Bool {
        guard monitor.goesOn(while: { feed.isWatched }),
            let (nodes, problem) = try? await load()
        else { return false }
        // Nodes that were read before a mistake was made still count for who begins to watch now.
        if let nodes, problem == nil || !feed.isLoaded { feed.replace(with: nodes) }
        if let problem { feed.interrupt(problem) }
        return true
    }
}
