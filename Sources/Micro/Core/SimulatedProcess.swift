internal import CMicroCore
internal import Synchronization

/// A process of a simulation: a loop of its own, and what it runs. It can stand still, and die.
///
/// On the thread of its simulation.
package final class SimulatedProcess: Sendable {
    private let loop: EventLoop
    let loops: EventLoops
    let tasks = SpawnedTasks()
    private let state = Mutex(State())

    private struct State {
        var transports: [TransportPlugin] = []
        var engines: (any Sendable)?
        var isDead = false
        var lastCall: UInt64 = 0
        /// What tells those who wait for it that it has died.
        var calls: [UInt64: @Sendable () -> Void] = [:]
    }

    init(on loop: EventLoop) {
        self.loop = loop
        self.loops = EventLoops(simulated: loop)
    }

    /// What runs in it has this environment bound.
    package var environment: Environment { Environment(process: self) }

    /// What carries its connections: for all addresses of those schemes.
    package var transports: [TransportPlugin] {
        get { state.withLock { $0.transports } }
        set { state.withLock { $0.transports = newValue } }
    }

    /// What a service in it uses unless it is told otherwise; whoever makes it knows the type.
    package var engines: (any Sendable)? {
        get { state.withLock { $0.engines } }
        set { state.withLock { $0.engines = newValue } }
    }

    /// Where its background tasks were started: "Micro/Registration.swift:12", sorted.
    package var backgroundTasks: [String] { tasks.origins }

    /// Stops it, or lets it go on: as SIGSTOP and SIGCONT do.
    package func pause(_ isPaused: Bool) { mcore_loop_pause(loop.raw, isPaused ? 1 : 0) }

    /// Makes its wall clock be ahead of the true time.
    package func skewClock(by duration: Duration) {
        mcore_loop_skew_wall(loop.raw, duration.clampedNanoseconds)
    }

    // MARK: What it does for others

    /// Runs `body` in the process.
    ///
    /// - Parameter what: For the error, when the process dies meanwhile.
    /// - Throws: What `body` throws; ``MicroError`` unavailable when the process has died;
    ///   `CancellationError`: the cancellation was passed on, and the process left alone.
    package func run<T: Sendable>(
        _ what: String, _ body: @escaping @Sendable () async throws -> T
    ) async throws -> T {
        let outcome = Latch<T>()
        let id = state.withLock { state -> UInt64? in
            guard !state.isDead else { return nil }
            state.lastCall += 1
            state.calls[state.lastCall] = {
                outcome.set(.failure(SimulatedProcess.death(what)))
            }
            return state.lastCall
        }
        guard let id else { throw SimulatedProcess.death(what) }
        defer { state.withLock { _ = $0.calls.removeValue(forKey: id) } }
        let task = environment.spawn {
            do {
                outcome.set(.success(try await body()))
            } catch {
                outcome.set(.failure(error))
            }
        }
        return try await withTaskCancellationHandler {
            try await outcome.wait()
        } onCancel: {
            task.cancel()
        }
    }

    /// The error of who has to do with a process that was killed.
    package static func death(_ what: String) -> MicroError {
        MicroError("simulation", .unavailable, "\(what): the process is dead")
    }

    // MARK: The end

    /// Whether it was killed.
    package var isDead: Bool { state.withLock { $0.isDead } }

    /// Nothing of it runs any more, from the end of the present turn on; who waits for it is told.
    package func kill() {
        pause(true)
        let calls = state.withLock { state in
            state.isDead = true
            defer { state.calls = [:] }
            return state.calls.sorted { $0.key < $1.key }.map(\.value)
        }
        for tellOfDeath in calls { tellOfDeath() }
    }

    /// Cancels what it does, and all that it begins.
    package func cancelTasks() { tasks.cancelAll() }

    func end() { loop.end() }
}
