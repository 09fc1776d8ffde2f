internal import CMicroCore

/// Where time, background tasks, randomness and blocking work come from: the event loops of the
/// process, or a simulation with virtual time and a seed.
///
/// Everything in Micro that needs one of them takes it from here, so that a test can run a whole
/// system on one thread, the same way each time. Long-lived parts read ``current`` when they are
/// made, and keep it.
public struct Environment: Sendable {
    private let given: EventLoops?
    private let tasks: SpawnedTasks?
    /// The simulated process that this is the environment of.
    let process: SimulatedProcess?

    /// The process's own loops start when somebody first asks for them.
    var loops: EventLoops { given ?? .process }

    @TaskLocal private static var bound: Environment?

    /// The simulation that the current task belongs to, or the process's own.
    public static var current: Environment { bound ?? Environment(given: nil) }

    /// An environment on a group of loops of the program's own.
    public init(loops: EventLoops) { self.init(given: loops) }

    init(simulated loops: EventLoops, tasks: SpawnedTasks) {
        self.init(given: loops, tasks: tasks)
    }

    init(process: SimulatedProcess) {
        self.init(given: process.loops, tasks: process.tasks, process: process)
    }

    private init(
        given: EventLoops?, tasks: SpawnedTasks? = nil, process: SimulatedProcess? = nil
    ) {
        self.given = given
        self.tasks = tasks
        self.process = process
    }

    /// Whether time is virtual.
    public var isSimulated: Bool { given?.isSimulated ?? false }

    /// Monotonic time and sleeping, on the timer wheel of the control loop. Any thread.
    public var clock: EventLoopClock { EventLoopClock(loop: loops.control) }

    /// The time since 1970, for people and for other machines: never for timeouts. Any thread.
    public var wallClock: Duration {
        .nanoseconds(Int64(clamping: mcore_loop_wall_ns(loops.control.raw)))
    }

    /// 64 random bits. Not for secrets. Any thread.
    public func random() -> UInt64 {
        guard isSimulated, loops.control.isCurrentSimulation else {
            var system = SystemRandomNumberGenerator()
            return system.next()
        }
        return mcore_loop_random(loops.control.raw)
    }

    /// ``random()`` in the shape of the standard library.
    public var randomness: EnvironmentRandomness { EnvironmentRandomness(environment: self) }

    /// Starts a background task on the control loop, with this environment bound.
    ///
    /// It must not block. A simulation cancels the tasks that are left when its body ends; one that
    /// is stuck names those that wait by where they were started.
    @discardableResult
    public func spawn(
        file: StaticString = #fileID, line: UInt = #line,
        _ body: @escaping @Sendable () async -> Void
    ) -> SpawnedTask {
        spawn(on: loops.control, file: file, line: line, body)
    }

    @discardableResult
    func spawn(
        on loop: EventLoop, file: StaticString = #fileID, line: UInt = #line,
        _ body: @escaping @Sendable () async -> Void
    ) -> SpawnedTask {
        guard let tasks else {
            return SpawnedTask(on: loop) {
                await Environment.$bound.withValue(self) { await body() }
            }
        }
        let id = tasks.reserve("\(file):\(line)")
        let spawned = SpawnedTask(on: loop) {
            await Environment.$bound.withValue(self) { await body() }
            tasks.remove(id)
        }
        tasks.add(spawned, as: id)
        return spawned
    }

    /// Runs blocking work on a worker thread; inline in a simulation.
    ///
    /// Cancelling the task does not interrupt the work: it is waited for.
    /// - Throws: What `work` throws; ``MicroError`` when the loops have ended.
    public func offload<T: Sendable>(
        _ work: @escaping @Sendable () throws -> T
    ) async throws -> T {
        try await loops.control.offload(work)
    }

    /// Runs `body` with this environment as ``current``.
    public func bind<T>(_ body: () async throws -> T) async rethrows -> T {
        try await Environment.$bound.withValue(self) { try await body() }
    }

    /// Runs `body` with this environment as ``current``.
    package func bind<T>(_ body: () throws -> T) rethrows -> T {
        try Environment.$bound.withValue(self) { try body() }
    }
}

/// The random numbers of an environment as a generator. Not for secrets.
public struct EnvironmentRandomness: RandomNumberGenerator, Sendable {
    let environment: Environment

    /// 64 random bits.
    public mutating func next() -> UInt64 { environment.random() }
}

/// A background task that ``Environment/spawn(_:)`` started.
public struct SpawnedTask: Sendable {
    private let task: Task<Void, Never>

    /// Starts `body` on `executor`; nil means the process's pool.
    init(on executor: (any TaskExecutor)?, _ body: @escaping @Sendable () async -> Void) {
        task = Task(executorPreference: executor, operation: body)
    }

    /// Asks the task to end; does not wait.
    public func cancel() { task.cancel() }

    /// Waits until the body has returned.
    public func wait() async { await task.value }
}
