internal import Logging
internal import Synchronization

/// Keeps a node in the register: announces it, again at each interval, and takes it out at the end.
///
/// A register that can't be reached does not keep the service from serving: it is told so in the
/// log, and tried again until it works.
final class Registration: Sendable {
    private let register: any Register
    private let node: ServiceNode
    private let ttl: Duration
    private let interval: Duration
    private let timeout: Duration
    private let environment: Environment
    private let logger: Logger
    private let changed: @Sendable () -> Void
    private let state = Mutex(State())

    private struct State {
        var heartbeat: SpawnedTask?
        var isRegistered = false
        var problem: String?

        /// Whether that is new.
        mutating func becomeRegistered() -> Bool {
            defer {
                isRegistered = true
                problem = nil
            }
            return !isRegistered
        }

        /// Whether that is new.
        mutating func becomeUnregistered(_ problem: String) -> Bool {
            defer {
                isRegistered = false
                self.problem = problem
            }
            return isRegistered || self.problem == nil
        }
    }

    /// - Parameter changed: Called when ``problem`` has become another one.
    init(
        of node: ServiceNode, in register: any Register, ttl: Duration, interval: Duration,
        timeout: Duration, environment: Environment, logger: Logger,
        changed: @escaping @Sendable () -> Void = {}
    ) {
        self.node = node
        self.register = register
        self.ttl = ttl
        self.interval = interval
        self.timeout = timeout
        self.environment = environment
        self.logger = logger
        self.changed = changed
    }

    /// Why the node is not in the register at present, or nil when it is.
    var problem: String? {
        state.withLock { $0.isRegistered ? nil : $0.problem ?? "not registered yet" }
    }

    /// Announces the node once, and goes on doing so on the control loop. Never fails.
    func start() async {
        let isAnnounced = await announce()
        let heartbeat = environment.spawn { await self.beat(failures: isAnnounced ? 0 : 1) }
        state.withLock { $0.heartbeat = heartbeat }
    }

    /// Stops announcing and takes the node out.
    func stop() async throws {
        let heartbeat = state.withLock { state in
            state.isRegistered = false
            return state.heartbeat.take()
        }
        heartbeat?.cancel()
        await heartbeat?.wait()
        try await register.deregister(node)
    }

    private func beat(failures: Int) async {
        var failures = failures
        while !Task.isCancelled {
            let pause = failures == 0 ? interval : backoff(failures)
            guard (try? await environment.clock.sleep(for: pause)) != nil else { return }
            failures = await announce() ? 0 : failures + 1
        }
    }

    private func announce() async -> Bool {
        let (register, node, ttl) = (register, node, ttl)
        do {
            try await withTimeout(
                timeout, on: environment.clock, "service.register",
                "entering \(register.describe())"
            ) {
                try await register.register(node, ttl: ttl)
            }
            if state.withLock({ $0.becomeRegistered() }) {
                changed()
                logger.info(
                    "registered",
                    metadata: [
                        "node": "\(node.id)", "register": "\(register.describe())",
                        "addresses": "\(node.addresses.joined(separator: " "))",
                    ])
            }
            return true
        } catch {
            if state.withLock({ $0.becomeUnregistered("\(error)") }) {
                changed()
                logger.warning(
                    "not registered: the service serves, and tries again",
                    metadata: ["register": "\(register.describe())", "error": "\(error)"])
            }
            return false
        }
    }

    /// Full jitter below a bound that doubles from 100 ms up to the interval.
    private func backoff(_ failures: Int) -> Duration {
        let bound = min(interval, .milliseconds(100 << min(failures - 1, 16)))
        let nanoseconds = max(1, bound.unsignedNanoseconds)
        return .nanoseconds(Int64(clamping: environment.random() % nanoseconds))
    }
}
