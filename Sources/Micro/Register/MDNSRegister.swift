internal import Synchronization

/// A register without a server: the nodes of a local network announce themselves to each other by
/// multicast DNS (RFC 6762) as services of the type `_micro._tcp` (RFC 6763), which other tools
/// see, too: `avahi-browse -rt _micro._tcp`, or `_greeter._sub._micro._tcp` for one service.
///
/// It is never chosen by itself: everybody on the network can announce anything. What is found is
/// where somebody says that a service is; who is there shows by TLS who it is, so let clients
/// check that (``ClientTLSOptions``). Where multicast does not get through, as in many clouds,
/// container networks and VPNs, nothing is found.
///
/// - Only private addresses are announced, and believed, unless the options say otherwise.
///   Those of the loopback interface and paths count on the machine that they are of.
/// - A node has its id, service and namespace for itself: who is first keeps them, and
///   ``register(_:ttl:)`` throws `alreadyExists` for a second one. To find that out takes up to a
///   second.
/// - A node that is deregistered is gone for others after a second; one that dies, after its time
///   to live, or 10 s when that is less. Others hear of a change within a second.
/// - Up to 1,200 bytes of text travel in a packet: what can be called on a node is left out, its
///   schemas first, when there is more.
/// - The first question waits half a second for answers.
public final class MDNSRegister: Register {
    private let environment: Environment
    private let options: Options
    private let machine: String
    private let simulatedAddress: String
    private let feed = RegisterFeed()
    private let state = Mutex(State())
    private let alarm: Alarm
    private let opener: SoleTask

    /// How a register behaves.
    public struct Options: Sendable {
        /// The network interface, "eth0", which may be the loopback interface, "lo". nil means all
        /// that can multicast, but that one.
        public var interface: String?
        /// Whether addresses that the whole world can reach are announced, and believed. false.
        public var allowsPublicAddresses = false

        /// The defaults.
        public init() {}
    }

    private struct State {
        var engine: Latch<LoopMDNS>?
        /// What was announced before somebody asked has been heard of.
        var settled = Latch<Void>()
        var isSettled = false
        var own: [ServiceNode.Key: Own] = [:]
        var others: [ServiceNode.Key: Other] = [:]
        var links = 0
        var isClosed = false

        var nodes: [ServiceNode] {
            let mine = own.values.filter(\.isPublished).map(\.node)
            return mine + others.filter { own[$0.key]?.isPublished != true }.map(\.value.node)
        }
    }

    private struct Own {
        var node: ServiceNode
        var ttl: Duration
        /// Its time begins when others see it.
        var expiry = EventLoopClock.Instant(nanoseconds: .max)
        var publication: UInt64?
        var isPublished = false
        /// Whether nobody else has its name.
        let outcome = Latch<Void>()
    }

    private struct Other {
        var instance: String
        var node: ServiceNode
    }

    private static let type = "_micro._tcp"
    private static let settling: Duration = .milliseconds(500)
    private static let ttlMin: Duration = .seconds(10)
    private static let ttlMax: Duration = .seconds(4500)  // RFC 6762, 10
    private static let backoffMax: Duration = .seconds(10)

    /// "mdns".
    public var name: String { "mdns" }

    /// A register on the local network. Nothing is sent before it is used.
    ///
    /// - Parameters:
    ///   - options: How it behaves.
    ///   - environment: Its clock, its control loop.
    public convenience init(options: Options = Options(), environment: Environment = .current) {
        self.init(options: options, simulatedAddress: "", environment: environment)
    }

    /// - Parameter simulatedAddress: Of the machine, in a simulation.
    init(
        options: Options = Options(), simulatedAddress: String, environment: Environment = .current
    ) {
        self.environment = environment
        self.options = options
        self.simulatedAddress = simulatedAddress
        self.machine = MDNSName.digest(
            environment.isSimulated ? "simulation \(simulatedAddress)" : MachineBoot.network)
        self.opener = SoleTask(environment: environment)
        let reference = WeakReference<MDNSRegister>()
        self.alarm = Alarm(environment: environment) { reference.object?.expire() }
        reference.object = self
    }

    /// "the mdns register", with the interface if it is a certain one.
    public func describe() -> String {
        "the mdns register" + (options.interface.map { " on \($0)" } ?? "")
    }

    // MARK: Announcing

    /// See ``Register/register(_:ttl:)``. It takes up to a second for a node that is new, and
    /// returns at once for one that is known.
    ///
    /// - Throws: Also ``MicroError`` `invalidArgument` for a node none of whose addresses may be
    ///   announced, and one with too much text; `alreadyExists` when another process has the id.
    public func register(_ node: ServiceNode, ttl: Duration) async throws {
        try node.validate()
        try RegisterName.checkTTL(ttl)
        let service = try service(node, ttl: ttl)
        let engine = try await engine()
        let known = try state.withLock { state -> Own? in
            try checkOpen(state)
            if let known = state.own[node.key] { return known }
            state.own[node.key] = Own(node: node, ttl: ttl)
            return nil
        }
        guard let known else { return try await publish(node, service, engine) }
        try await known.outcome.wait()
        extend(node.key, ttl)
        if known.node != node || known.ttl != ttl {
            try await update(node, ttl, service, engine)
        }
    }

    private func extend(_ key: ServiceNode.Key, _ ttl: Duration) {
        let expiry = environment.clock.now.advanced(by: ttl)
        state.withLock { $0.own[key]?.expiry = expiry }
        alarm.arm(at: expiry)
    }

    private func publish(
        _ node: ServiceNode, _ service: MDNSService, _ engine: LoopMDNS
    ) async throws {
        let key = node.key
        guard let outcome = state.withLock({ $0.own[key]?.outcome }) else {
            throw MicroError("register", .aborted, "node \(node.id) was deregistered meanwhile")
        }
        do {
            let id = try await engine.publish(service, type: MDNSRegister.type) {
                [weak self] isOurs in
                self?.published(key, outcome, isOurs)
            }
            let isWanted = state.withLock { state in
                guard state.own[key]?.outcome === outcome else { return false }
                state.own[key]?.publication = id
                return true
            }
            if !isWanted { engine.withdraw(id) }
        } catch {
            drop(key, outcome, error)
        }
        try await outcome.wait()
    }

    private func published(_ key: ServiceNode.Key, _ outcome: Latch<Void>, _ isOurs: Bool) {
        guard isOurs else {
            return drop(
                key, outcome,
                MicroError(
                    "register", .alreadyExists,
                    "another process has registered node \(key.id) of \(key.service), and is alive:"
                        + " give each process an id of its own"))
        }
        let ttl = state.withLock { state -> Duration? in
            guard let own = state.own[key], own.outcome === outcome else { return nil }
            state.own[key]?.isPublished = true
            feed.register(own.node)
            return own.ttl
        }
        if let ttl { extend(key, ttl) }
        outcome.open()
    }

    /// It is not announced, or not any more. What somebody else says of it counts then.
    private func drop(_ key: ServiceNode.Key, _ outcome: Latch<Void>, _ error: any Error) {
        state.withLock { state in
            guard let own = state.own[key], own.outcome === outcome else { return }
            forget(own.node, &state)
        }
        outcome.set(.failure(error))
    }

    private func forget(_ node: ServiceNode, _ state: inout State) {
        guard let own = state.own.removeValue(forKey: node.key), own.isPublished else { return }
        if let other = state.others[node.key] {
            feed.register(other.node)
        } else {
            feed.deregister(node)
        }
    }

    private func update(
        _ node: ServiceNode, _ ttl: Duration, _ service: MDNSService, _ engine: LoopMDNS
    ) async throws {
        let id = state.withLock { state -> UInt64? in
            guard state.own[node.key] != nil else { return nil }
            state.own[node.key]?.node = node
            state.own[node.key]?.ttl = ttl
            feed.register(node)
            return state.own[node.key]?.publication
        }
        guard let id, try await engine.update(id, service, type: MDNSRegister.type) else {
            throw MicroError("register", .aborted, "node \(node.id) was lost meanwhile")
        }
    }

    /// See ``Register/deregister(_:)``.
    public func deregister(_ node: ServiceNode) async throws {
        let own = try state.withLock { state -> (Own, Latch<LoopMDNS>?)? in
            try checkOpen(state)
            guard let own = state.own[node.key] else { return nil }
            forget(own.node, &state)
            return (own, state.engine)
        }
        if let (own, engine) = own { withdraw([own], engine) }
    }

    private func withdraw(_ nodes: [Own], _ engine: Latch<LoopMDNS>?) {
        for own in nodes {
            if case .success(let engine) = engine?.result, let id = own.publication {
                engine.withdraw(id)
            }
            own.outcome.set(
                .failure(
                    MicroError(
                        "register", .aborted, "node \(own.node.id) was deregistered meanwhile")))
        }
    }

    /// Takes back the nodes whose time is up.
    private func expire() {
        let now = environment.clock.now
        let (dead, engine, next) = state.withLock { state in
            let dead = state.own.values.filter { $0.expiry <= now }
                .sorted { ($0.expiry, $0.node.key) < ($1.expiry, $1.node.key) }
            for own in dead { forget(own.node, &state) }
            return (dead, state.engine, state.own.values.map(\.expiry).min())
        }
        withdraw(dead, engine)
        alarm.arm(at: next)
    }

    /// What others are told of a node.
    private func service(_ node: ServiceNode, ttl: Duration) throws -> MDNSService {
        let addresses = node.addresses.filter(mayAnnounce)
        guard !addresses.isEmpty else {
            throw MicroError.invalid(
                "register",
                "node \(node.id) has only addresses that the whole world can reach,"
                    + " \(node.addresses.joined(separator: " ")): multicast DNS is for local"
                    + " networks; allow public addresses in its options, or advertise another one",
                at: "addresses")
        }
        let places = addresses.compactMap(AddressReach.place)
        let hosts = places.map(\.host).filter(AddressReach.isIP)
        var seen: Set<String> = []
        return MDNSService(
            instance: MDNSName.instance(node.key), subtype: MDNSName.subtype(node.service),
            port: places.first?.port ?? 0,
            addresses: Array(
                hosts.filter { seen.insert($0).inserted }.prefix(LoopMDNS.addressesMax)),
            text: try MDNSText.encode(node, addresses: addresses, machine: machine),
            ttl: min(max(ttl, MDNSRegister.ttlMin), MDNSRegister.ttlMax))
    }

    private func mayAnnounce(_ address: String) -> Bool {
        options.allowsPublicAddresses || AddressReach(of: address) != .world
    }

    // MARK: Finding

    /// See ``Register/lookup(_:namespace:)``.
    public func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] {
        try RegisterName.check(service, "service")
        return try await nodes(RegisterFilter(service: service, namespace: namespace))
    }

    /// See ``Register/list(namespace:)``.
    public func list(namespace: String) async throws -> [ServiceRecord] {
        ServiceRecord.grouping(
            try await nodes(RegisterFilter(service: nil, namespace: namespace)))
    }

    /// See ``Register/watch(_:namespace:)``.
    public func watch(_ service: String?, namespace: String) -> RegisterEvents {
        let events = feed.watch(service, namespace: namespace, keeping: self)
        let mustOpen = state.withLock { state in
            tellAll(&state)
            return !state.isSettled
        }
        if mustOpen { keepOpening() }
        return events
    }

    private func nodes(_ filter: RegisterFilter) async throws -> [ServiceNode] {
        try RegisterName.checkQuery(namespace: filter.namespace)
        _ = try await engine()
        try await state.withLock({ $0.settled }).wait()
        return try state.withLock { state in
            try checkOpen(state)
            return state.nodes.filter(filter.matches).sorted(by: ServiceRecord.order)
        }
    }

    private func tellAll(_ state: inout State) {
        guard state.isSettled, state.links > 0, feed.needsNodes else { return }
        feed.replace(with: state.nodes.sorted(by: ServiceRecord.order))
    }

    private func found(_ instance: MDNSInstance) {
        let addresses = instance.addresses.map { host in
            "tcp://" + (host.contains(":") ? "[\(host)]" : host) + ":\(instance.port)"
        }
        let id = RegisterName.made(of: instance.name)
        let read = MDNSText.decode(instance.text, id: id, addresses: addresses)
        guard var (node, home) = read else { return lost(instance.name) }
        if home == "" { home = machine }  // a stranger's service does not say
        node.addresses.removeAll {
            !mayAnnounce($0) || (AddressReach(of: $0) == .machine && home != machine)
        }
        let isStranger = MDNSName.instance(node.key) != instance.name
        // Nobody takes the place of a node whose name is another.
        if isStranger { node.id = id }
        guard !node.addresses.isEmpty, (try? node.validate()) != nil else {
            return lost(instance.name)
        }
        let found = node
        state.withLock { state in
            let before = state.others.first { $0.value.instance == instance.name }?.value
            if let before, before.node.key != found.key { remove(before, &state) }
            if let other = state.others[found.key], other.instance != instance.name { return }
            state.others[found.key] = Other(instance: instance.name, node: found)
            if state.own[found.key]?.isPublished != true { feed.register(found) }
        }
    }

    private func lost(_ instance: String) {
        state.withLock { state in
            let other = state.others.first { $0.value.instance == instance }?.value
            if let other { remove(other, &state) }
        }
    }

    private func remove(_ other: Other, _ state: inout State) {
        state.others[other.node.key] = nil
        if state.own[other.node.key]?.isPublished != true { feed.deregister(other.node) }
    }

    // MARK: Life

    private func checkOpen(_ state: State) throws {
        if state.isClosed { throw closedError }
    }

    /// See ``Register/close()``.
    public func close() async {
        opener.close()
        let (own, engine, settled) = state.withLock { state in
            state.isClosed = true
            defer {
                state.own = [:]
                state.others = [:]
                state.engine = nil
            }
            return (
                state.own.values.sorted { $0.node.key < $1.node.key }, state.engine, state.settled
            )
        }
        alarm.stop()
        feed.finish()
        withdraw(own, engine)
        settled.open()
        if let engine = try? await engine?.wait() { await engine.close() }
    }

    /// The engine; opened by who comes first, and waited for by all.
    private func engine() async throws -> LoopMDNS {
        let (latch, isFirst) = try state.withLock { state in
            try checkOpen(state)
            if let latch = state.engine { return (latch, false) }
            let latch = Latch<LoopMDNS>()
            state.engine = latch
            return (latch, true)
        }
        if isFirst {
            // In a task of its own: others wait for it, too, when this one is cancelled.
            environment.spawn { await self.open(latch) }
        }
        return try await latch.wait()
    }

    private func open(_ latch: Latch<LoopMDNS>) async {
        do {
            let engine = try await LoopMDNS.open(
                on: environment.loops.control, interface: options.interface,
                machine: simulatedAddress
            ) { [weak self] event in
                switch event {
                case .found(let instance): self?.found(instance)
                case .lost(let name): self?.lost(name)
                case .links(let count): self?.linked(count)
                }
            }
            try await engine.browse(
                type: MDNSRegister.type, addressKey: MDNSText.addressKey)
            latch.set(.success(engine))
            if state.withLock({ $0.isClosed }) { await engine.close() }
            try? await environment.clock.sleep(for: MDNSRegister.settling)
            settle()
        } catch {
            // Nobody opens it now: who comes next tries again.
            state.withLock { state in
                if state.engine === latch { state.engine = nil }
            }
            latch.set(.failure(explain(error)))
        }
    }

    private func settle() {
        let settled = state.withLock { state in
            state.isSettled = true
            tellAll(&state)
            return state.settled
        }
        settled.open()
    }

    private func explain(_ error: any Error) -> MicroError {
        let cause = MicroError(error, id: "register")
        let code = cause.code == .permissionDenied ? cause.code : .unavailable
        return MicroError("register", code, "\(describe()): \(cause.detail)")
    }

    private func linked(_ count: Int) {
        state.withLock { state in
            state.links = count
            tellAll(&state)
        }
        guard count == 0 else { return }
        feed.interrupt(
            MicroError(
                "register", .unavailable,
                "\(describe()): no network interface that can multicast is up"))
    }

    /// Opens it for watchers, again and again until that works.
    private func keepOpening() {
        opener.begin { [weak self, clock = environment.clock] in
            var pause = Duration.milliseconds(100)
            while await self?.failsToOpen() ?? false {
                do { try await clock.sleep(for: pause) } catch { return }
                pause = min(pause * 2, MDNSRegister.backoffMax)
            }
        }
    }

    /// - Returns: Whether it has to be tried again.
    private func failsToOpen() async -> Bool {
        var isOpen = true
        do {
            _ = try await engine()
        } catch {
            isOpen = false
            if !opener.isClosed { feed.interrupt(MicroError(error, id: "register")) }
        }
        return opener.goesOn { !isOpen && !Task.isCancelled && feed.isWatched }
    }
}
