internal import Synchronization

/// Calls one function at the earliest of the instants that were asked for: the timer of a part that
/// keeps its deadlines in a heap.
///
/// After a call nothing is armed: the function handles all that is due, and arms the alarm again
/// for what comes next. `fire` must not keep the alarm's owner alive: capture it weakly.
package final class Alarm: Sendable {
    private struct State {
        var armed: EventLoopClock.Instant?
        var task: SpawnedTask?
        var generation: UInt64 = 0
        var isStopped = false
    }

    private let environment: Environment
    private let fire: @Sendable () -> Void
    private let state = Mutex(State())

    package init(environment: Environment, fire: @escaping @Sendable () -> Void) {
        self.environment = environment
        self.fire = fire
    }

    deinit { state.withLock { $0.task }?.cancel() }

    /// Makes sure that the alarm rings at `instant` or earlier; nil asks for nothing.
    package func arm(at instant: EventLoopClock.Instant?) {
        guard let instant else { return }
        let replaced: SpawnedTask? = state.withLock { state in
            if state.isStopped { return nil }
            if let armed = state.armed, armed <= instant { return nil }
            let previous = state.task
            state.generation &+= 1
            state.armed = instant
            state.task = start(state.generation, at: instant)
            return previous
        }
        replaced?.cancel()
    }

    /// Never rings again.
    package func stop() {
        let task = state.withLock { state in
            state.isStopped = true
            state.armed = nil
            return state.task.take()
        }
        task?.cancel()
    }

    private func start(_ generation: UInt64, at instant: EventLoopClock.Instant) -> SpawnedTask {
        let clock = environment.clock
        return environment.spawn { [weak self] in
            do { try await clock.sleep(until: instant) } catch { return }
            self?.ring(generation)
        }
    }

    private func ring(_ generation: UInt64) {
        let isCurrent = state.withLock { state in
            guard !state.isStopped, state.generation == generation else { return false }
            state.armed = nil
            state.task = nil
            return true
        }
        if isCurrent { fire() }
    }
}
