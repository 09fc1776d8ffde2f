internal import Synchronization

/// A register that the processes of a user on one machine share, through a file and without a
/// server.
///
/// A node is gone when it is deregistered, when its time to live is over, and, at once, when its
/// process dies: the kernel frees the file lock that stands for it. Watchers are told of a change
/// through inotify, and look by themselves five times a second as well.
///
/// A file that is missing is made; one that cannot be had now is tried again by watchers until it
/// can, and meanwhile they keep what they knew.
public final class LocalRegister: Register {
    private let environment: Environment
    private let path: String
    private let folder: String
    private let file: Mutex<LocalRegisterFile>
    private let queue: BlockingQueue
    private let feed = RegisterFeed()
    private let bell = WakeUp()
    private let monitor: SoleTask

    /// "local".
    public var name: String { "local" }

    /// A register in a file. Nothing is opened before it is used.
    ///
    /// - Parameters:
    ///   - path: The file, absolute, in a folder that exists and that others cannot write to. By
    ///     default `register.sqlite` in `$XDG_RUNTIME_DIR/micro`, or without that variable in
    ///     `micro-<uid>` in `$TMPDIR` or `/tmp`; that folder is made, and must be this user's own.
    ///   - environment: Its clock, its worker threads, its control loop.
    public init(path: String? = nil, environment: Environment = .current) {
        let chosen = path ?? PrivateFolder.runtime + "/register.sqlite"
        let file = LocalRegisterFile(
            path: chosen, isPrivateFolder: path == nil,
            boot: environment.isSimulated ? "simulation" : MachineBoot.id,
            random: { environment.random() })
        self.environment = environment
        self.path = chosen
        self.folder = file.folder
        self.file = Mutex(file)
        self.queue = BlockingQueue(environment: environment)
        self.monitor = SoleTask(environment: environment)
    }

    /// "the local register /run/user/1000/micro/register.sqlite".
    public func describe() -> String { "the local register \(path)" }

    /// See ``Register/register(_:ttl:)``.
    public func register(_ node: ServiceNode, ttl: Duration) async throws {
        try node.validate()
        try RegisterName.checkTTL(ttl)
        let clock = environment.clock
        try await blocking { file in
            let now = clock.now
            try file.register(
                node, expiry: now.advanced(by: ttl).nanoseconds, now: now.nanoseconds)
        }
        bell.ring()
    }

    /// See ``Register/deregister(_:)``.
    public func deregister(_ node: ServiceNode) async throws {
        let key = node.key
        try await blocking { file in try file.deregister(key) }
        bell.ring()
    }

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
        startMonitor()
        bell.ring()
        return events
    }

    /// See ``Register/close()``.
    public func close() async {
        monitor.close()
        feed.finish()
        await queue.runAlways { self.file.withLock { $0.close() } }
    }

    private func nodes(_ filter: RegisterFilter) async throws -> [ServiceNode] {
        try RegisterName.checkQuery(namespace: filter.namespace)
        let clock = environment.clock
        return try await blocking { file in
            try file.lookup(filter, now: clock.now.nanoseconds)
        }
    }

    /// Works on the file on a worker thread.
    private func blocking<T: Sendable>(
        _ body: @escaping @Sendable (inout LocalRegisterFile) throws -> T
    ) async throws -> T {
        do {
            return try await queue.run {
                try self.file.withLock { file in
                    // Asked here: what was queued before the close must not open the file again.
                    guard !self.monitor.isClosed else { throw self.closedError }
                    do {
                        return try body(&file)
                    } catch {
                        file.recover(from: error)
                        throw error
                    }
                }
            }
        } catch let error as SQLiteError {
            throw explain(error)
        }
    }

    private func explain(_ error: SQLiteError) -> MicroError {
        let (code, advice): (MicroError.Code, String) =
            if error.isBusy {
                (.unavailable, "another process has locked it: try again, or end that process")
            } else if error.isMissing {
                (.unavailable, "make the folder \(folder), or choose another path")
            } else if error.isDenied {
                (
                    .permissionDenied,
                    "the folder \(folder) must belong to this user and be closed to others (mode"
                        + " 0700), and the file must be writable"
                )
            } else if error.isCorrupt {
                (.dataLoss, "delete it: nodes announce themselves anew with their next heartbeat")
            } else {
                (error.status.code, "see to the file system that it is on")
            }
        return MicroError("register", code, "\(describe()): \(error): \(advice)")
    }

    // MARK: Watching

    /// How often to look at the file and its locks.
    private static let interval = Duration.milliseconds(200)

    private func startMonitor() {
        monitor.begin { [weak self, bell, folder, environment] in
            var hint = await bell.listen(to: folder, in: environment)
            var failures = 0
            while let outcome = await self?.look() {
                failures = outcome == .failed ? failures + 1 : 0
                if hint == nil || outcome == .reopened {
                    hint = await bell.listen(to: folder, in: environment)
                }
                let pause =
                    failures == 0
                    ? LocalRegister.interval
                    : Backoff.pause(after: failures, random: environment.random())
                await bell.wait(atMost: pause, clock: environment.clock)
            }
            hint?.cancel()
        }
    }

    private enum Look: Sendable { case done, reopened, failed }

    /// Looks once; nil when nobody watches any more, or the register was closed.
    private func look() async -> Look? {
        guard monitor.goesOn(while: { feed.isWatched }) else { return nil }
        let clock = environment.clock
        let isForced = feed.needsNodes
        do {
            let (nodes, isNew) = try await blocking { file in
                let before = file.openings
                let nodes = try file.poll(now: clock.now.nanoseconds, isForced: isForced)
                return (nodes, file.openings != before)
            }
            if let nodes { feed.replace(with: nodes, isAnew: isNew) }
            return isNew ? .reopened : .done
        } catch is CancellationError {
            return nil
        } catch {
            feed.interrupt(MicroError(error, id: "register"))
            return .failed
        }
    }
}
