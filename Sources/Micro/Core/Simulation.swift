internal import CMicroCore
internal import Synchronization

/// Runs `body` in a simulation: on one thread, with virtual time that jumps to the next timer when
/// nothing is ready, and with randomness from `seed`. The same seed gives the same run.
///
/// ``Environment/current`` is the simulation in `body` and in all that it starts through it. Tasks
/// that are left when it returns are cancelled and waited for. For services on several machines,
/// with a network between them that fails, MicroTesting has a `withSimulation` with a world.
/// - Throws: What `body` throws; ``MicroError`` when the simulation is stuck: everybody waits and
///   nothing is left that could happen.
public func withSimulation<T: Sendable>(
    seed: UInt64 = 0, _ body: @escaping @Sendable () async throws -> T
) async throws -> T {
    try await Simulation.run(seed: seed) { _ in try await body() }
}

/// A simulation that runs: the loop of its body, and those of the processes that it simulates.
package final class Simulation: Sendable {
    /// Of all randomness.
    package let seed: UInt64
    private let loop: EventLoop
    private let tasks = SpawnedTasks()
    private let made = Mutex(Made())

    private struct Made {
        var processes: [SimulatedProcess] = []
        var network: SimulatedNetwork?
    }

    private init(seed: UInt64) throws(MicroError) {
        self.seed = seed
        self.loop = try EventLoop(index: 0, simulationSeed: seed)
    }

    /// The body's: it is no process, and never stands still.
    package var environment: Environment {
        Environment(simulated: EventLoops(simulated: loop), tasks: tasks)
    }

    /// What connects the processes. On the simulation's thread.
    package func network() throws(MicroError) -> SimulatedNetwork {
        if let network = made.withLock({ $0.network }) { return network }
        let network = try SimulatedNetwork(seed: mcore_loop_random(loop.raw))
        made.withLock { $0.network = network }
        return network
    }

    /// A process without a machine. On the simulation's thread.
    package func makeProcess() throws(MicroError) -> SimulatedProcess {
        let loop = try EventLoop(beside: loop, seed: mcore_loop_random(loop.raw))
        let process = SimulatedProcess(on: loop)
        made.withLock { $0.processes.append(process) }
        return process
    }

    private var processes: [SimulatedProcess] { made.withLock { $0.processes } }

    /// Where the background tasks of the body were started: "File.swift:12", sorted.
    package var backgroundTasks: [String] { tasks.origins }

    // MARK: Running

    /// Runs a simulation.
    ///
    /// - Parameters:
    ///   - limit: How long the body may take, in virtual time; nil: as long as something happens.
    ///   - end: What is done behind the body, however it ended. Its time is not limited.
    ///   - explain: Who waits for what, when the body does so for ever.
    package static func run<T: Sendable>(
        seed: UInt64, limit: Duration? = nil,
        _ body: @escaping @Sendable (Simulation) async throws -> T,
        end: @escaping @Sendable (Simulation) async -> Void = { _ in },
        explain: @escaping @Sendable (Simulation) -> String = { _ in "" }
    ) async throws -> T {
        let simulation = try Simulation(seed: seed)
        let run = SimulationRun<T>(simulation, explain)
        // Made here, and not on the loop's thread, so that the body has the task-local values of
        // the caller: by them a testing library knows which test it is.
        run.begin(limit, body, end)
        return try await withCheckedThrowingContinuation { continuation in
            do {
                try LoopThread(named: "micro-sim") {
                    continuation.resume(with: Result { try run.finish() })
                }.detach()
            } catch {
                run.abandon()
                continuation.resume(throwing: error)
            }
        }
    }

    /// Returns when nothing is left to happen; false: there is, but time stands still.
    fileprivate func turn() -> Bool { mcore_loop_run(loop.raw) != MCORE_ELIMIT }

    fileprivate func spawnRoot(_ body: @escaping @Sendable () async -> Void) -> SpawnedTask {
        let environment = environment
        return SpawnedTask(on: loop) { await environment.bind(body) }
    }

    fileprivate func cancelTasks() { tasks.cancelAll() }

    fileprivate func cancelProcesses() {
        for process in processes { process.cancelTasks() }
    }

    fileprivate func pauseProcesses(_ isPaused: Bool) {
        for process in processes { process.pause(isPaused) }
    }

    fileprivate func endLoops() {
        for process in processes { process.end() }
        loop.end()
    }
}

/// One run of a simulation, from its body to its end.
private final class SimulationRun<T: Sendable>: Sendable {
    private let simulation: Simulation
    private let explain: @Sendable (Simulation) -> String
    private let outcome = Latch<T>()
    private let state = Mutex(State())

    private struct State {
        var root: SpawnedTask?
        var limit: SpawnedTask?
        var isAbandoned = false
        var isOver = false
    }

    init(_ simulation: Simulation, _ explain: @escaping @Sendable (Simulation) -> String) {
        self.simulation = simulation
        self.explain = explain
    }

    func begin(
        _ limit: Duration?, _ body: @escaping @Sendable (Simulation) async throws -> T,
        _ end: @escaping @Sendable (Simulation) async -> Void
    ) {
        let simulation = simulation
        let root = simulation.spawnRoot {
            guard !self.state.withLock({ $0.isAbandoned }) else { return }
            if let limit { self.watch(limit) }
            do {
                self.outcome.set(.success(try await body(simulation)))
            } catch {
                self.outcome.set(.failure(error))
            }
            self.state.withLock { $0.limit.take() }?.cancel()
            simulation.cancelTasks()
            // In a task of its own: this one may have been cancelled.
            await simulation.spawnRoot { await end(simulation) }.wait()
            simulation.cancelProcesses()
            self.state.withLock { $0.isOver = true }
        }
        state.withLock { $0.root = root }
    }

    private func watch(_ limit: Duration) {
        let watch = simulation.spawnRoot {
            let clock = Environment.current.clock
            guard (try? await clock.sleep(for: limit)) != nil else { return }
            self.giveUp("it has not ended after \(limit) of virtual time")
            // Whoever does not mind being cancelled is left where it is.
            guard (try? await clock.sleep(for: SimulationRun.patience)) != nil else { return }
            self.simulation.pauseProcesses(true)
        }
        state.withLock { $0.limit = watch }
    }

    private static var patience: Duration { .seconds(600) }

    private func giveUp(_ reason: String) {
        let explanation = explain(simulation)
        outcome.set(
            .failure(
                MicroError(
                    "simulation", .deadlineExceeded,
                    "stuck with seed \(simulation.seed): \(reason)"
                        + (explanation.isEmpty ? "" : "\n\(explanation)"))))
        simulation.cancelTasks()
        state.withLock { $0.root }?.cancel()
    }

    /// On the simulation's thread.
    func finish() throws -> T {
        let isQuiet = simulation.turn()
        if !state.withLock({ $0.isOver }) {
            giveUp(
                isQuiet
                    ? "every task waits, and no timer or job is left"
                    : "time stands still, for a task waits by looking all the time")
            // Whoever can be woken by a cancellation gives back what it holds.
            simulation.pauseProcesses(false)
            simulation.cancelProcesses()
            _ = simulation.turn()
        }
        simulation.endLoops()
        guard let result = outcome.result else {
            throw MicroError("simulation", .internal, "the simulation has no result")
        }
        return try result.get()
    }

    /// There is no thread for it.
    func abandon() {
        state.withLock { $0.isAbandoned = true }
        simulation.endLoops()
    }
}

/// The tasks that a simulation has to end.
final class SpawnedTasks: Sendable {
    private struct Running {
        /// nil for a task that is just being made.
        var task: SpawnedTask?
        /// Where it was started.
        var origin: String
    }

    private struct State {
        var running: [UInt64: Running] = [:]
        var last: UInt64 = 0
        var isEnded = false
    }

    private let state = Mutex(State())

    /// Where those that run were started, sorted.
    var origins: [String] { state.withLock { $0.running.values.map(\.origin).sorted() } }

    /// A place for a task that is about to be made.
    func reserve(_ origin: String) -> UInt64 {
        state.withLock { state in
            state.last += 1
            state.running[state.last] = Running(task: nil, origin: origin)
            return state.last
        }
    }

    func add(_ task: SpawnedTask, as id: UInt64) {
        let isEnded = state.withLock { state in
            state.running[id]?.task = task
            return state.isEnded
        }
        if isEnded { task.cancel() }
    }

    func remove(_ id: UInt64) { state.withLock { _ = $0.running.removeValue(forKey: id) } }

    /// Cancels those that are there, in the order of their making, and those that come.
    func cancelAll() {
        let running = state.withLock { state in
            state.isEnded = true
            return state.running.sorted { $0.key < $1.key }.compactMap(\.value.task)
        }
        for task in running { task.cancel() }
    }
}
