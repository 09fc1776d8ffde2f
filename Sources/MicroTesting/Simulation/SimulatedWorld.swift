public import Micro
internal import Synchronization

/// Machines, the network between them, and what the services on them share, in a simulation: see
/// ``withSimulation(seed:limit:_:)``.
///
/// Every machine has a process of its own: with its own event loop, background tasks, timers and
/// connections, which can stand still and die without the others. All of them run on one thread, on
/// one virtual clock, in turns whose order comes from the seed. There are no sockets and no files.
///
/// A process finds the world's register, broker, store and locks wherever its code does not say
/// otherwise, and its TCP is the world's network; the environment variables of the test's own
/// process are none of its. Each way, to another machine or to the register, broker, store and
/// locks, takes ``latency``.
///
/// To be used from the task of the body and its children; what a handler or a service knows of the
/// world it knows as in production.
public final class SimulatedWorld: Sendable {
    let simulation: Simulation
    let network: SimulatedNetwork
    let environment: Environment
    let server: RegisterServer
    private let memoryBroker: MemoryBroker
    private let memoryStore: MemoryStore
    private let memorySync: MemorySync
    private let began: EventLoopClock.Instant
    private let state: Mutex<State>

    private struct State {
        var faults: FaultTable
        /// As the network knows them: from, to.
        var links: [Int: [Int: SimulatedNetwork.Link]] = [:]
        var nodes: [SimulatedNode] = []
        var registers: [ProcessRegister] = []
        var counts: [String: Int] = [:]
        var journal: [String] = []
        /// What the body waits for.
        var waits: [UInt64: String] = [:]
        var last: UInt64 = 0
    }

    init(_ simulation: Simulation) throws {
        let environment = Environment.current
        self.simulation = simulation
        self.environment = environment
        self.network = try simulation.network()
        self.server = RegisterServer(environment: environment)
        self.memoryBroker = MemoryBroker(environment: environment)
        self.memoryStore = MemoryStore(environment: environment)
        self.memorySync = MemorySync(environment: environment)
        self.began = environment.clock.now
        self.state = Mutex(
            State(faults: FaultTable(latency: .milliseconds(1) ... .milliseconds(1))))
    }

    // MARK: What there is

    /// Of all randomness in the world.
    public var seed: UInt64 { simulation.seed }

    /// Virtual time, which jumps when nobody has anything to do.
    public var clock: EventLoopClock { environment.clock }

    /// How long it has been since the world began, in virtual time.
    public var elapsed: Duration { began.duration(to: clock.now) }

    /// All machines, in the order of their making.
    public var nodes: [SimulatedNode] { state.withLock { $0.nodes } }

    /// The register itself, asked without a network, also when no machine can reach it.
    public var register: any Register { server.memory }
    /// The broker itself, without a network.
    public var broker: any Broker { memoryBroker }
    /// The store itself, without a network.
    public var store: any Store { memoryStore }
    /// The locks themselves, without a network.
    public var sync: any Sync { memorySync }

    /// How long every way takes, in one direction; drawn anew for each piece of bytes. Default: 1
    /// ms. What is on its way already is not affected.
    public var latency: ClosedRange<Duration> {
        get { state.withLock { $0.faults.latency } }
        set {
            state.withLock { $0.faults.latency = newValue }
            pathsChanged()
        }
    }

    /// Lets the world go on for that long.
    ///
    /// - Throws: `CancellationError`.
    public func run(for duration: Duration) async throws {
        try await waiting("run(for: \(duration))") { try await self.clock.sleep(for: duration) }
    }

    // MARK: The journal

    /// What was done to the world, and what ``note(_:)`` was told: "12.345 s: greeter-1 crashed".
    public var journal: [String] { state.withLock { $0.journal } }

    /// Writes a line into the journal.
    public func note(_ line: String) {
        let milliseconds = elapsed / .milliseconds(1)
        let stamp = Int(milliseconds.rounded())
        let text = "\(stamp / 1000).\(String(1000 + stamp % 1000).dropFirst()) s: \(line)"
        state.withLock { $0.journal.append(text) }
    }

    /// A number over the journal and all that went through the network, when, from whom and to
    /// whom: two runs that have the same did the same.
    public var fingerprint: UInt64 {
        journal.reduce(network.digest) { stableHash($1, seed: $0) }
    }

    /// How many connections there are in the network, with those of which only one end knows.
    public var connections: Int { Int(clamping: network.connections) }

    // MARK: Machines

    /// Adds a machine and starts a service on it.
    ///
    /// The service's `run()` is called in a process on the machine, as a program would. It may use
    /// all defaults; addresses it gives itself are those of its machine.
    /// - Parameter make: Makes the service, in its process; again for ``restart(_:)``.
    /// - Returns: When the service takes calls.
    /// - Throws: What `make` throws, and why the service did not start.
    @discardableResult
    public func start(
        _ make: @escaping @Sendable () async throws -> MicroService
    ) async throws -> SimulatedNode {
        let node = try addNode(make)
        try await begin(node)
        return node
    }

    /// Adds so many machines with the same service, and starts them one after the other.
    @discardableResult
    public func start(
        count: Int, _ make: @escaping @Sendable () async throws -> MicroService
    ) async throws -> [SimulatedNode] {
        var nodes: [SimulatedNode] = []
        for _ in 0..<count { nodes.append(try await start(make)) }
        return nodes
    }

    /// Adds a machine without a service, for clients.
    public func machine(_ name: String = "machine") throws -> SimulatedNode {
        let node = try addNode(nil)
        try call(node, name)
        node.withFacts { $0.state = .running }
        _ = try makeProcess(on: node)
        return node
    }

    /// A client on a machine of its own, which finds services in the world's register.
    ///
    /// - Parameters:
    ///   - options: Times, retries and balancing.
    ///   - hooks: Wrapped around every call, the first outermost.
    public func client(
        options: ClientOptions = ClientOptions(), hooks: [ClientHook] = []
    ) throws -> Client {
        try client(on: machine("client"), options: options, hooks: hooks)
    }

    /// A client in the process that a machine runs at present: it dies with it.
    ///
    /// - Throws: ``MicroError`` failedPrecondition when no process runs there.
    public func client(
        on node: SimulatedNode, options: ClientOptions = ClientOptions(), hooks: [ClientHook] = []
    ) throws -> Client {
        let process = try node.livingProcess()
        let client = process.environment.bind { Client(options: options, hooks: hooks) }
        node.withFacts { $0.clients.append(client) }
        return client
    }

    /// Runs `body` in the process of a machine: ``Environment/current`` is its environment, and it
    /// stands still and dies with it.
    ///
    /// - Throws: What `body` throws; ``MicroError`` unavailable when the process dies meanwhile.
    public func run<T: Sendable>(
        on node: SimulatedNode, _ body: @escaping @Sendable () async throws -> T
    ) async throws -> T {
        let process = try node.livingProcess()
        return try await waiting("run(on: \(node.name))") {
            try await process.run("what runs on \(node.name)", body)
        }
    }

    private func addNode(
        _ make: (@Sendable () async throws -> MicroService)?
    ) throws -> SimulatedNode {
        let number = nodes.count
        let address = "10.0.\((number + 1) >> 8).\((number + 1) & 255)"
        let (host, transport) = try network.addHost(address)
        let node = SimulatedNode(
            number: number, address: address, host: host, transport: transport, make: make)
        state.withLock { $0.nodes.append(node) }
        pathsChanged()
        return node
    }

    private func call(_ node: SimulatedNode, _ kind: String) throws {
        let number = state.withLock { state in
            state.counts[kind, default: 0] += 1
            return state.counts[kind, default: 0]
        }
        let name = "\(kind)-\(number)"
        try network.rename(node.host, to: name)
        node.withFacts { $0.name = name }
    }

    private func makeProcess(on node: SimulatedNode) throws -> SimulatedProcess {
        let process = try simulation.makeProcess()
        func reach(_ target: Party) -> Reach {
            Reach(world: self, source: node.party, process: process, target: target)
        }
        let register = ProcessRegister(server, reach(.register))
        process.transports = [node.transport]
        process.engines = SimulatedEngines(
            register: register,
            broker: ProcessBroker(memoryBroker, reach(.engines)),
            store: ProcessStore(inner: memoryStore, reach: reach(.engines)),
            sync: ProcessSync(inner: memorySync, reach: reach(.engines)))
        state.withLock { $0.registers.append(register) }
        node.withFacts { $0.process = process }
        return process
    }

    // MARK: The life of a service

    private func begin(_ node: SimulatedNode) async throws {
        let process = try makeProcess(on: node)
        let run = ServiceRun()
        node.withFacts { facts in
            facts.state = .starting
            facts.run = run
        }
        do {
            let service = try await waiting("start of \(node.name)") {
                try await process.run("\(node.name)") { try await node.makeService() }
            }
            if node.name == node.address { try call(node, service.name) }
            node.withFacts { $0.service = service }
            service.afterStart { run.becameReady() }
            process.environment.spawn {
                do {
                    try await service.run()
                    run.ended(.success(()))
                } catch {
                    run.ended(.failure(error))
                }
                self.ended(node, process, run)
            }
            try await waiting("start of \(node.name)") {
                try await run.waitUntilReady()
            }
        } catch {
            if !process.isDead { exit(node, .failed(MicroError(error, id: "simulation"))) }
            throw error
        }
        node.withFacts { if $0.state == .starting { $0.state = .running } }
        note("\(node.name) started")
    }

    /// The service has ended, in order or not; the process with it.
    private func ended(_ node: SimulatedNode, _ process: SimulatedProcess, _ run: ServiceRun) {
        guard !process.isDead else { return }
        var state = SimulatedNode.State.stopped
        if case .failure(let error)? = run.end {
            state = .failed(MicroError(error, id: "simulation"))
        }
        exit(node, state)
        note("\(node.name) ended")
    }

    /// The process of a machine is gone.
    private func exit(_ node: SimulatedNode, _ state: SimulatedNode.State) {
        node.withFacts { $0.run }?.died(SimulatedProcess.death(node.name))
        let process = node.withFacts { facts -> SimulatedProcess? in
            guard let process = facts.process else { return nil }
            facts.state = state
            facts.isStalled = false
            facts.process = nil
            facts.former.append(
                .init(
                    process: process, run: facts.run, service: facts.service,
                    clients: facts.clients))
            facts.clients = []
            facts.run = nil
            return process
        }
        guard let process else { return }
        network.crash(node.host)
        process.kill()
        guard let engines = process.engines as? SimulatedEngines else { return }
        (engines.broker as? ProcessBroker)?.processDied(in: environment)
        if let register = engines.register as? ProcessRegister {
            self.state.withLock { $0.registers.removeAll { $0 === register } }
        }
    }

    /// Ends the service of a machine in order, as SIGTERM does, and its process with it.
    ///
    /// - Returns: When it is over. Does nothing when no service runs.
    public func stop(_ node: SimulatedNode) async throws {
        guard let run = node.withFacts({ $0.run }), let service = node.service else { return }
        note("\(node.name) stops")
        service.triggerShutdown()
        try await waiting("stop of \(node.name)") { try await run.waitUntilEnd() }
    }

    /// Starts a service again: one that runs is stopped in order before. It is made anew, in a new
    /// process on the same machine.
    ///
    /// - Throws: Why it did not start.
    public func restart(_ node: SimulatedNode) async throws {
        guard node.hasService else {
            exit(node, .stopped)
            _ = try makeProcess(on: node)
            node.withFacts { $0.state = .running }
            return
        }
        try await stop(node)
        try await begin(node)
    }

    /// Kills the process of a machine, as SIGKILL does: nothing of it runs any more, its
    /// connections are reset, and it stays in the register until its time to live is over.
    ///
    /// Its tasks are left where they are until the simulation ends; then they are cancelled, and
    /// can reach nobody.
    public func crash(_ node: SimulatedNode) {
        guard node.withFacts({ $0.process }) != nil else { return }
        exit(node, .crashed)
        note("\(node.name) crashed")
    }

    // MARK: Ways

    func path(from source: Party, to target: Party) -> Path {
        state.withLock { $0.faults.path(from: source, to: target) }
    }

    func roundTrip(from source: Party, to target: Party) -> Path {
        state.withLock { $0.faults.roundTrip(from: source, to: target) }
    }

    func draw(_ range: ClosedRange<Duration>) -> Duration {
        let span = (range.upperBound - range.lowerBound).unsignedNanoseconds
        guard span >= 1 else { return range.lowerBound }
        let extra = environment.random() % (span + 1)
        return range.lowerBound + .nanoseconds(Int64(clamping: extra))
    }

    func changeFaults<T: Sendable>(_ body: @Sendable (inout FaultTable) -> T) -> T {
        let result = state.withLock { body(&$0.faults) }
        pathsChanged()
        return result
    }

    /// Tells the network, and who watches the register.
    private func pathsChanged() {
        let (faults, nodes, registers) = state.withLock { ($0.faults, $0.nodes, $0.registers) }
        for source in nodes {
            for target in nodes where source !== target {
                set(link(faults.path(from: source.party, to: target.party)), source, target)
            }
        }
        for register in registers { register.pathChanged() }
    }

    private func link(_ path: Path) -> SimulatedNetwork.Link {
        switch path {
        case .open(let delay): .init(delay: delay)
        case .silent, .refused: .init(isDown: true, delay: .zero ... .zero)
        }
    }

    private func set(
        _ link: SimulatedNetwork.Link, _ source: SimulatedNode, _ target: SimulatedNode
    ) {
        let isNew = state.withLock { state in
            let former = state.links[source.number, default: [:]]
                .updateValue(link, forKey: target.number)
            return former != link
        }
        guard isNew else { return }
        do {
            try network.set(link, from: source.host, to: target.host)
        } catch {
            note("the network could not be changed: \(error)")
        }
    }

    // MARK: Waiting

    /// Notes what the body waits for, for the error of a simulation that is stuck.
    func waiting<T: Sendable>(
        _ what: String, _ body: @Sendable () async throws -> T
    ) async throws -> T {
        let id = state.withLock { state in
            state.last += 1
            state.waits[state.last] = what
            return state.last
        }
        defer { state.withLock { _ = $0.waits.removeValue(forKey: id) } }
        return try await body()
    }

    /// Who waits for what.
    var explanation: String {
        let (waits, faults) = state.withLock { ($0.waits, $0.faults.faults.count) }
        var lines = ["at \(elapsed) with \(connections) connections and \(faults) faults:"]
        for wait in waits.sorted(by: { $0.key < $1.key }) {
            lines.append("  the body waits for \(wait.value)")
        }
        if waits.isEmpty { lines.append("  the body waits for something that is not the world's") }
        lines += tasks("the body", simulation.backgroundTasks)
        for node in nodes { lines += explain(node) }
        return lines.joined(separator: "\n")
    }

    private func explain(_ node: SimulatedNode) -> [String] {
        let process = node.withFacts { $0.process }
        var line = "  \(node.name) (\(node.address)) is \(node.state)"
        if node.isStalled { line += ", and stands still" }
        if process != nil, let calls = node.service?.statistics.calls, calls > 0 {
            line += ", with \(calls) calls in its handlers"
        }
        return [line] + tasks(node.name, process?.backgroundTasks ?? [])
    }

    private func tasks(_ owner: String, _ origins: [String]) -> [String] {
        let counts = origins.reduce(into: [String: Int]()) { $0[$1, default: 0] += 1 }
        guard !counts.isEmpty else { return [] }
        let list = counts.sorted { $0.key < $1.key }.map { $1 > 1 ? "\($0) (\($1)×)" : $0 }
        return [
            "    tasks of \(owner), by where they were started: " + list.joined(separator: ", ")
        ]
    }

    // MARK: The end

    /// Stops what runs, and unwinds what was killed.
    func end() async {
        heal()
        for node in nodes {
            for client in node.withFacts({ $0.clients }) { await client.close(grace: .zero) }
        }
        for node in nodes { node.service?.triggerShutdown() }
        for node in nodes {
            guard let run = node.withFacts({ $0.run }) else { continue }
            await wait(for: run)
        }
        for node in nodes {
            exit(node, .stopped)
            for former in node.withFacts({ $0.former }) { await unwind(former) }
        }
        // They know their process, and it knows them.
        for node in nodes {
            for former in node.withFacts({ $0.former }) { former.process.engines = nil }
        }
        state.withLock { $0.registers = [] }
        await memoryBroker.close(timeout: .zero)
        await memoryStore.close()
        await memorySync.close()
        await server.memory.close()
    }

    private func unwind(_ former: SimulatedNode.FormerProcess) async {
        former.process.cancelTasks()
        former.process.pause(false)
        former.service?.triggerShutdown()
        for client in former.clients { await client.close(grace: .zero) }
        if let run = former.run { await wait(for: run) }
    }

    /// Not for ever: a handler may not mind being cancelled.
    private func wait(for run: ServiceRun) async {
        _ = try? await within(.seconds(300), environment) {
            try await run.waitUntilEnd(afterDeath: true)
        }
    }
}
