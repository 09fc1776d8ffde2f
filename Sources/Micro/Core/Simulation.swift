internal import CMicroCore
internal import Synchronization

/// Runs `body` in a simulation: on one thread, with virtual time that jumps to the next timer when
/// nothing is ready, and with randomness from `seed`. The same seed gives the same run.
///
/// ``Environment/current`` is the simulation in `body` and in all that it starts through it. Tasks
/// that are left when it returns are cancelled and waited for.
/// - Throws: What `body` throws; ``MicroError`` when the simulation is stuck: everybody waits and
///   nothing is left that could happen.
public func withSimulation<T: Sendable>(
    seed: UInt64 = 0, _ body: @escaping @Sendable () async throws -> T
) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
        do {
            try LoopThread(named: "micro-sim") {
                continuation.resume(with: Result { try simulate(seed: seed, body) })
            }.detach()
        } catch {
            continuation.resume(throwing: error)
        }
    }
}

/// The tasks that a simulation has to end.
final class SpawnedTasks: Sendable {
    private struct State {
        /// nil for a task that is just being made.
        var running: [UInt64: SpawnedTask?] = [:]
        var last: UInt64 = 0
        var isEnded = false
    }

    private let state = Mutex(State())

    /// A place for a task that is about to be made.
    func reserve() -> UInt64 {
        state.withLock { state in
            state.last += 1
            state.running[state.last] = .some(nil)
            return state.last
        }
    }

    func add(_ task: SpawnedTask, as id: UInt64) {
        let isEnded = state.withLock { state in
            if state.running[id] != nil { state.running[id] = task }
            return state.isEnded
        }
        if isEnded { task.cancel() }
    }

    func remove(_ id: UInt64) { state.withLock { _ = $0.running.removeValue(forKey: id) } }

    /// Cancels those that are there, in the order of their making, and those that come.
    func cancelAll() {
        let running = state.withLock { state in
            state.isEnded = true
            return state.running.sorted { $0.key < $1.key }.compactMap(\.value)
        }
        for task in running { task.cancel() }
    }
}

private func simulate<T: Sendable>(
    seed: UInt64, _ body: @escaping @Sendable () async throws -> T
) throws -> T {
    let loop = try EventLoop(index: 0, simulationSeed: seed)
    let tasks = SpawnedTasks()
    let environment = Environment(simulated: EventLoops(simulated: loop), tasks: tasks)
    let outcome = Outcome<T>()

    environment.spawn(on: loop) {
        do {
            outcome.set(.success(try await body()))
        } catch {
            outcome.set(.failure(error))
        }
        tasks.cancelAll()
    }
    // Returns when nothing is left to happen: the body is done and so are the tasks it left behind,
    // or everybody waits for ever.
    _ = mcore_loop_run(loop.raw)
    let isStuck = outcome.take() == nil
    if isStuck {
        // Whoever can be woken by a cancellation gives back what it holds.
        tasks.cancelAll()
        _ = mcore_loop_run(loop.raw)
    }
    loop.end()

    guard !isStuck, let result = outcome.take() else {
        throw MicroError(
            "simulation", .deadlineExceeded,
            "stuck with seed \(seed): every task waits, and no timer or job is left")
    }
    return try result.get()
}

private final class Outcome<T: Sendable>: Sendable {
    private let result = Mutex<Result<T, any Error>?>(nil)
    func set(_ value: Result<T, any Error>) { result.withLock { $0 = value } }
    func take() -> Result<T, any Error>? { result.withLock { $0 } }
}
