internal import Synchronization

/// Nodes from a register, remembered and kept up to date by watching it.
///
/// The first question for a service starts one watch, whoever else asks at that moment; answers
/// then come from memory. While the register cannot be reached, they are the last that were known,
/// with their ``Resolution/age``. A service that nobody has asked for in five minutes is forgotten.
public final class RegisterResolver: Resolver {
    private let register: any Register
    private let namespace: String
    private let environment: Environment
    private let options: Options
    private let state = Mutex(State())

    /// How a resolver remembers.
    public struct Options: Sendable {
        /// How long a service that nobody asks for is remembered. 5 min.
        public var idleTimeout: Duration = .seconds(300)
        /// How long nodes are held on to that the register has lost all at once, or more than half
        /// of them, so that each has the time for its next heartbeat. 90 s, the usual time to live.
        public var lostGrace: Duration = .seconds(90)
        /// How many services are remembered; the ones unused for longest are forgotten. 4,096.
        public var servicesMax: Int = 4096

        /// The defaults.
        public init() {}
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var revision: UInt64 = 0
        var lastID: UInt64 = 0
        var janitor: SpawnedTask?
        var isJanitorRunning = false
        var isClosed = false

        mutating func makeID() -> UInt64 {
            lastID += 1
            return lastID
        }
    }

    private struct Entry {
        /// Which watch feeds it: events of a former one are too late.
        var watch: UInt64
        var machine = ResolutionStateMachine()
        var revision: UInt64 = 0
        var lastUse: EventLoopClock.Instant
        var latch = Latch<Void>()
        var task: SpawnedTask?
        var subscribers: [UInt64: ResolverUpdates.Source] = [:]

        func resolution(of service: String, now: EventLoopClock.Instant) -> Resolution {
            Resolution(
                service: service, nodes: machine.nodes, revision: revision,
                age: machine.age(now: now))
        }

        /// In one order, so that a simulation repeats.
        var sources: [ResolverUpdates.Source] {
            subscribers.sorted { $0.key < $1.key }.map(\.value)
        }
    }

    /// - Parameters:
    ///   - register: Where the nodes are found. It is not closed with the resolver.
    ///   - namespace: Which services are seen; ``RegisterNamespace/wildcard`` sees all.
    ///   - options: How the resolver remembers.
    ///   - environment: Its clock and its tasks.
    public init(
        register: any Register, namespace: String = RegisterNamespace.standard,
        options: Options = Options(), environment: Environment = .current
    ) {
        self.register = register
        self.namespace = namespace
        self.options = options
        self.environment = environment
    }

    deinit { end() }

    // MARK: Questions

    /// See ``Resolver/resolve(_:)``. It does not suspend when the answer is remembered.
    public func resolve(_ service: String) async throws -> Resolution {
        if let known = known(service) { return known }
        try RegisterName.check(service, "service")
        return try await answer(service, latch: try use(service))
    }

    /// See ``Resolver/refresh(_:)``: a new watch is started, and its first snapshot waited for.
    @discardableResult
    public func refresh(_ service: String) async throws -> Resolution {
        try RegisterName.check(service, "service")
        _ = try use(service)
        let (latch, former, watch) = state.withLock {
            state -> (Latch<Void>?, SpawnedTask?, UInt64?) in
            guard let entry = state.entries[service] else { return (nil, nil, nil) }
            // A watch that has said nothing yet is as fresh as can be.
            guard entry.latch.isOpen else { return (entry.latch, nil, nil) }
            let watch = state.makeID()
            let latch = Latch<Void>()
            state.entries[service]?.watch = watch
            state.entries[service]?.latch = latch
            state.entries[service]?.task = nil
            state.entries[service]?.machine.expectRefresh()
            return (latch, entry.task, watch)
        }
        former?.cancel()
        if let watch { follow(service, watch) }
        return try await answer(service, latch: latch)
    }

    /// See ``Resolver/updates(for:)``. A register that cannot be reached says nothing until it can;
    /// ``resolve(_:)`` says why.
    public func updates(for service: String) -> ResolverUpdates {
        let id = state.withLock { $0.makeID() }
        let (updates, source) = ResolverUpdates.make(onEnd: { [weak self] in
            self?.unsubscribe(id, from: service)
        })
        do {
            try RegisterName.check(service, "service")
            _ = try use(service)
        } catch {
            // Nobody can be called by that name, now or later; or the resolver is closed.
            source.send(Resolution(service: service, nodes: [], revision: 0))
            if state.withLock({ $0.isClosed }) { source.finish() }
            return updates
        }
        let now = environment.clock.now
        let (current, isThere) = state.withLock { state -> (Resolution?, Bool) in
            guard let entry = state.entries[service] else { return (nil, false) }
            state.entries[service]?.subscribers[id] = source
            guard entry.machine.isLoaded else { return (nil, true) }
            return (entry.resolution(of: service, now: now), true)
        }
        if let current { source.send(current) }
        if !isThere { source.finish() }
        return updates
    }

    /// See ``Resolver/close()``. The register stays open.
    public func close() async { end() }

    /// The way of every call: one lock, one look-up.
    private func known(_ service: String) -> Resolution? {
        let now = environment.clock.now
        return state.withLock { state in
            guard let index = state.entries.index(forKey: service),
                !state.entries.values[index].machine.nodes.isEmpty
            else { return nil }
            state.entries.values[index].lastUse = now
            return state.entries.values[index].resolution(of: service, now: now)
        }
    }

    /// The answer after `latch`.
    private func answer(_ service: String, latch: Latch<Void>?) async throws -> Resolution {
        try await latch?.wait()
        let now = environment.clock.now
        let entry = state.withLock { $0.entries[service] }
        guard let entry else {
            throw MicroError(
                "resolver", .unavailable, "\(register.describe()) gave no answer about \(service)")
        }
        guard entry.machine.isLoaded else {
            throw entry.machine.interruption
                ?? MicroError("resolver", .unavailable, "\(register.describe()) gave no answer")
        }
        let resolution = entry.resolution(of: service, now: now)
        if resolution.nodes.isEmpty { throw await unknown(service) }
        return resolution
    }

    private func unknown(_ service: String) async -> MicroError {
        let isStandard = namespace == RegisterNamespace.standard
        let place = register.describe() + (isStandard ? "" : ", namespace \(namespace)")
        let services = (try? await register.list(namespace: namespace)).map {
            knownServices(Set($0.map(\.name)).sorted())
        }
        return .notFound(
            "resolver",
            "no node offers \(service) in \(place)" + (services.map { ": \($0)" } ?? ""))
    }

    // MARK: Entries

    /// The entry's latch; makes the entry and starts its watch when there is none.
    private func use(_ service: String) throws -> Latch<Void> {
        let now = environment.clock.now
        let (latch, watch, evicted) = try state.withLock {
            state -> (Latch<Void>, UInt64?, SpawnedTask?) in
            if state.isClosed {
                throw MicroError("resolver", .unavailable, "the resolver is closed")
            }
            if let entry = state.entries[service] {
                state.entries[service]?.lastUse = now
                return (entry.latch, nil, nil)
            }
            let evicted = try makeRoom(&state)
            let entry = Entry(watch: state.makeID(), lastUse: now)
            state.entries[service] = entry
            return (entry.latch, entry.watch, evicted)
        }
        evicted?.cancel()
        if let watch {
            follow(service, watch)
            startJanitor()
        }
        return latch
    }

    private func makeRoom(_ state: inout State) throws -> SpawnedTask? {
        guard state.entries.count >= max(1, options.servicesMax) else { return nil }
        let oldest = state.entries.filter { $0.value.subscribers.isEmpty && $0.value.latch.isOpen }
            .min { ($0.value.lastUse, $0.key) < ($1.value.lastUse, $1.key) }
        guard let oldest else {
            throw MicroError.resourceExhausted(
                "resolver", "\(state.entries.count) services are in use, and no more are allowed")
        }
        return state.entries.removeValue(forKey: oldest.key)?.task
    }

    private func unsubscribe(_ id: UInt64, from service: String) {
        let now = environment.clock.now
        state.withLock { state in
            state.entries[service]?.subscribers[id] = nil
            state.entries[service]?.lastUse = now
        }
    }

    private func startJanitor() {
        let mustStart = state.withLock { state in
            defer { state.isJanitorRunning = true }
            return !state.isJanitorRunning
        }
        guard mustStart else { return }
        let pause = max(.milliseconds(10), options.idleTimeout / 5)
        let task = environment.spawn { [weak self, clock = environment.clock] in
            repeat {
                do { try await clock.sleep(for: pause) } catch { return }
            } while self?.forgetIdle() ?? false
        }
        let mustStop = state.withLock { state in
            if state.isJanitorRunning { state.janitor = task }
            return state.isClosed
        }
        if mustStop { task.cancel() }
    }

    /// - Returns: Whether there is anything left to look after.
    private func forgetIdle() -> Bool {
        let now = environment.clock.now
        let (forgotten, isLeft) = state.withLock { state -> ([Entry], Bool) in
            let idle = state.entries.filter {
                $0.value.subscribers.isEmpty
                    && $0.value.lastUse.advanced(by: options.idleTimeout) <= now
            }
            for name in idle.keys { state.entries[name] = nil }
            if state.entries.isEmpty {
                state.isJanitorRunning = false
                state.janitor = nil
            }
            return (idle.sorted { $0.key < $1.key }.map(\.value), !state.entries.isEmpty)
        }
        for entry in forgotten {
            entry.task?.cancel()
            entry.latch.open()  // whoever has waited all that time is told that there is no answer
        }
        return isLeft
    }

    private func end() {
        let (entries, janitor) = state.withLock { state in
            state.isClosed = true
            defer { state.entries = [:] }
            return (state.entries.sorted { $0.key < $1.key }.map(\.value), state.janitor.take())
        }
        janitor?.cancel()
        for entry in entries {
            entry.task?.cancel()
            entry.latch.open()
            for source in entry.sources { source.finish() }
        }
    }

    // MARK: Watches

    private func follow(_ service: String, _ watch: UInt64) {
        let events = register.watch(service, namespace: namespace)
        let place = register.describe()
        let task = environment.spawn { [weak self] in
            for await event in events {
                guard let self, self.apply(event.change, to: service, watch) else { return }
            }
            let error = MicroError("resolver", .unavailable, "\(place) was closed")
            _ = self?.apply(.interrupted(error), to: service, watch)
        }
        let isCurrent = state.withLock { state in
            guard state.entries[service]?.watch == watch else { return false }
            state.entries[service]?.task = task
            return true
        }
        if !isCurrent { task.cancel() }
    }

    /// - Returns: Whether the watch is still wanted.
    private func apply(
        _ change: RegisterEvent.Change, to service: String, _ watch: UInt64
    ) -> Bool {
        let now = environment.clock.now
        let result = state.withLock { state -> (Entry, ResolutionStateMachine.Effect)? in
            guard state.entries[service]?.watch == watch,
                let effect = state.entries[service]?.machine.apply(change, now: now)
            else { return nil }
            return countChange(&state, service, effect)
        }
        guard let (entry, effect) = result else { return false }
        if effect.isChanged { send(entry, service, now) }
        entry.latch.open()
        if let grace = effect.grace { endGrace(grace, of: service, watch) }
        return true
    }

    private func countChange(
        _ state: inout State, _ service: String, _ effect: ResolutionStateMachine.Effect
    ) -> (Entry, ResolutionStateMachine.Effect)? {
        if effect.isChanged {
            state.revision += 1
            state.entries[service]?.revision = state.revision
        }
        return state.entries[service].map { ($0, effect) }
    }

    private func send(_ entry: Entry, _ service: String, _ now: EventLoopClock.Instant) {
        let resolution = entry.resolution(of: service, now: now)
        for source in entry.sources { source.send(resolution) }
    }

    private func endGrace(_ grace: UInt64, of service: String, _ watch: UInt64) {
        environment.spawn { [weak self, clock = environment.clock, options] in
            do { try await clock.sleep(for: options.lostGrace) } catch { return }
            self?.acceptLoss(grace, of: service, watch)
        }
    }

    private func acceptLoss(_ grace: UInt64, of service: String, _ watch: UInt64) {
        let now = environment.clock.now
        let result = state.withLock { state -> (Entry, ResolutionStateMachine.Effect)? in
            guard state.entries[service]?.watch == watch,
                let isChanged = state.entries[service]?.machine.endGrace(grace), isChanged
            else { return nil }
            return countChange(&state, service, .init(isChanged: true))
        }
        if let (entry, _) = result { send(entry, service, now) }
    }
}
