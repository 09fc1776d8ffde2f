internal import Logging
internal import Micro
internal import Synchronization

/// A node that this process has registered: announces it when it is told to, and sees to it that
/// its key is there until then.
///
/// Between two announcements it watches its key. When that is deleted, or etcd was away and has
/// forgotten it, the node enters again by itself, for what is left of its time to live.
final class AnnouncedNode: Sendable {
    private let key: String
    private let client: EtcdClient
    private let environment: Environment
    private let logger: Logger
    private let turns = Turns()
    private let state = Mutex(State())

    private struct State {
        var machine = AnnouncementStateMachine()
        var node: ServiceNode?
        /// When its time to live is over.
        var until = EventLoopClock.Instant(nanoseconds: 0)
        var guardian: SpawnedTask?
        var isLeaving = false
    }

    init(key: String, client: EtcdClient, environment: Environment, logger: Logger) {
        self.key = key
        self.client = client
        self.environment = environment
        self.logger = logger
    }

    deinit { state.withLock { $0.guardian.take() }?.cancel() }

    /// Announces the node. See ``Register/register(_:ttl:)``.
    func announce(_ node: ServiceNode, ttl: Duration) async throws {
        let until = environment.clock.now.advanced(by: ttl)
        state.withLock { state in
            state.isLeaving = false
            // Also when it fails: who announces a node that is there wants it to stay.
            guard state.machine.isEntered else { return }
            state.node = node
            state.until = until
        }
        try await turns.take {
            try await enter(node, seconds: Self.seconds(of: ttl), prolongs: true)
        }
        state.withLock { state in
            state.node = node
            state.until = max(state.until, until)
        }
        startGuardian()
    }

    /// Takes the node out, if it is still its own: with its leases its key goes.
    ///
    /// - Throws: ``MicroError`` when etcd can't be reached; then its time to live ends it.
    func leave() async throws {
        let guardian = state.withLock { state in
            state.isLeaving = true
            return state.guardian.take()
        }
        guardian?.cancel()
        try await turns.take {
            for lease in state.withLock({ $0.machine.leases }).sorted() {
                try await client.revokeLease(lease)
                state.withLock { $0.machine.revoked([lease]) }
            }
        }
    }

    /// Whether it was taken out, and not announced since.
    var isGone: Bool { state.withLock { $0.isLeaving && $0.machine.leases.isEmpty } }

    func stopGuarding() { state.withLock { $0.guardian.take() }?.cancel() }

    /// Whole seconds, more rather than less, as etcd takes them.
    static func seconds(of ttl: Duration) -> Int64 {
        let (seconds, rest) = ttl.components
        let whole = min(seconds, secondsMax) + (rest > 0 ? 1 : 0)
        return min(max(1, whole), secondsMax)
    }

    /// As much as etcd takes: 285 years.
    private static let secondsMax: Int64 = 9_000_000_000

    // MARK: Entering

    /// Goes through the steps, as one of those who take turns.
    ///
    /// - Parameter prolongs: The lease's time starts anew; else it is left as it is.
    private func enter(_ node: ServiceNode, seconds: Int64, prolongs: Bool) async throws {
        state.withLock { $0.machine.begin(node, seconds: seconds, keepsLease: !prolongs) }
        for _ in 0..<Self.stepsMax {
            switch state.withLock({ $0.machine.next() }) {
            case .look:
                let found = try await client.get(key)
                state.withLock { $0.machine.looked(found.map(Self.found)) }
            case .check(let lease):
                let left =
                    prolongs
                    ? try await client.keepAlive(lease: lease)
                    : try await client.timeToLive(ofLease: lease)?.remainingSeconds ?? 0
                state.withLock { $0.machine.checked(left) }
            case .grant(let seconds):
                let lease = try await client.grantLease(seconds: seconds)
                state.withLock { $0.machine.granted(lease.id) }
            case .write(let write): try await perform(write)
            case .done(let leases): return revokeLater(leases)
            case .refused(let leases):
                revokeLater(leases)
                throw MicroError(
                    "register.etcd", .alreadyExists,
                    "another process has registered node \(node.id) of \(node.service) since, and"
                        + " is alive: give each process an id of its own")
            }
        }
        throw MicroError(
            "register.etcd", .aborted, "node \(node.id) of \(node.service) changes all the time")
    }

    /// More than any order of events needs.
    private static let stepsMax = 16

    private func perform(_ write: AnnouncementStateMachine.Write) async throws {
        let conditions: [EtcdComparison] =
            switch write.condition {
            case .none: []
            case .absent: [.isAbsent(key)]
            case .unchangedSince(let revision): [.modRevision(of: key, is: revision)]
            }
        let value = try write.node.map { try NodeRecord.encode($0) }
        do {
            let answer = try await client.transaction(
                if: conditions,
                then: value.map { [.put(key: key, value: $0, lease: write.lease)] } ?? [],
                otherwise: [.get(.key(key))])
            if answer.isSuccessful {
                let revision = value == nil ? nil : answer.header.revision
                return state.withLock { $0.machine.wrote(revision: revision) }
            }
            guard case .got(let keyValues)? = answer.results.first else {
                throw MicroError("register.etcd", .internal, "etcd left out what was asked for")
            }
            state.withLock { $0.machine.conflicted(keyValues.first.map(Self.found)) }
        } catch let error as MicroError where error.reason == EtcdReason.leaseNotFound {
            state.withLock { $0.machine.lostLease() }
        }
    }

    private static func found(_ keyValue: EtcdKeyValue) -> AnnouncementStateMachine.Found {
        AnnouncementStateMachine.Found(revision: keyValue.modRevision, lease: keyValue.lease)
    }

    /// Nobody waits for it: they would end by themselves.
    private func revokeLater(_ leases: [Int64]) {
        guard !leases.isEmpty else { return }
        state.withLock { $0.machine.revoked(leases) }
        Context.unbound {
            _ = environment.spawn { [client] in
                for lease in leases { _ = try? await client.revokeLease(lease) }
            }
        }
    }

    // MARK: Guarding

    private func startGuardian() {
        state.withLock { state in
            guard state.guardian == nil, !state.isLeaving else { return }
            state.guardian = Context.unbound {
                environment.spawn { [weak self, client, environment, key] in
                    let failures = Atomic<Int>(0)
                    var options = EtcdWatchOptions()
                    options.ignoresPuts = true
                    while !Task.isCancelled {
                        // Whatever ends it, the next one finds out what has become of the key.
                        try? await client.watch(.key(key), options) { [weak self] changes in
                            failures.store(0, ordering: .relaxed)
                            try await self?.guardKey(changes)
                        }
                        guard let self, !self.endIfOver() else { return }
                        let count = failures.wrappingAdd(1, ordering: .relaxed).newValue
                        let pause = Backoff.pause(after: count, random: environment.random())
                        try? await environment.clock.sleep(for: pause)
                    }
                }
            }
        }
    }

    /// Whether nobody has announced it for its time to live.
    var isOver: Bool {
        let now = environment.clock.now
        return state.withLock { $0.until <= now }
    }

    private func endIfOver() -> Bool {
        let now = environment.clock.now
        return state.withLock { state in
            guard state.until <= now else { return false }
            state.guardian = nil
            return true
        }
    }

    /// Returns when the time to live is over, and throws when the stream breaks.
    private func guardKey(_ changes: EtcdChanges) async throws {
        // What happened before the watch began.
        try await repair()
        for try await batch in changes where !batch.changes.isEmpty {
            if isOver { return }
            // Whoever deletes many keys at once does not get them all back in the same moment.
            try await environment.clock.sleep(
                for: Backoff.pause(after: 2, random: environment.random()))
            try await repair()
        }
    }

    /// Enters again for what is left of the time to live, if the key is not there.
    private func repair() async throws {
        do {
            try await turns.take {
                let now = environment.clock.now
                let (node, until, isWanted) = state.withLock { state in
                    (
                        state.node, state.until,
                        !state.isLeaving && !state.machine.isDisplaced && now < state.until
                    )
                }
                guard isWanted, let node else { return }
                let former = state.withLock { $0.machine.revision }
                try await enter(
                    node, seconds: Self.seconds(of: now.duration(to: until)), prolongs: false)
                guard state.withLock({ $0.machine.revision }) != former else { return }
                logger.notice(
                    "etcd had lost the node: registered again",
                    metadata: ["node": "\(node.id)", "register": "\(client.describe())"])
            }
        } catch let error as MicroError where error.code == .alreadyExists {
            // The next announcement says so.
        }
    }
}
