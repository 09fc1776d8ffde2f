internal import Micro

/// The way from a process to a part of the world that is not a machine.
struct Reach: Sendable {
    /// nil: it is over.
    weak let world: SimulatedWorld?
    let source: Party
    let process: SimulatedProcess
    let target: Party

    /// How long a request without an answer is waited for.
    private static var patience: Duration { .seconds(5) }
    private static var pause: Duration { .milliseconds(50) }

    var environment: Environment { process.environment }

    private var path: Path { world?.roundTrip(from: source, to: target) ?? .refused }

    var isOpen: Bool {
        if case .open = path { return !process.isDead }
        return false
    }

    var isRefused: Bool { path == .refused }

    /// A request, and its answer.
    ///
    /// - Throws: ``MicroError`` unavailable; `CancellationError`.
    func check(_ what: String) async throws {
        let clock = environment.clock
        let end = clock.now.advanced(by: Reach.patience)
        while true {
            if process.isDead { throw SimulatedProcess.death(what) }
            switch path {
            case .open(let range):
                return try await wait(range)
            case .refused:
                throw MicroError("simulation", .unavailable, "\(what): connection refused")
            case .silent:
                guard clock.now < end else {
                    throw MicroError(
                        "simulation", .unavailable, "\(what): no answer in \(Reach.patience)")
                }
                try await clock.sleep(for: Reach.pause)
            }
        }
    }

    /// A message on its way from there.
    func pass() async throws {
        if case .open(let range)? = world?.path(from: target, to: source) {
            try await wait(range)
        }
    }

    private func wait(_ range: ClosedRange<Duration>) async throws {
        if let delay = world?.draw(range), delay > .zero {
            try await environment.clock.sleep(for: delay)
        }
    }
}
