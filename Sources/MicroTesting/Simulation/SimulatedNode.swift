public import Micro
internal import Synchronization

/// A machine of a ``SimulatedWorld``: it has an address, and runs at most one process, which may be
/// a service.
public final class SimulatedNode: Sendable {
    /// How far its process is.
    public enum State: Sendable, Hashable {
        /// The service is being started.
        case starting
        /// It runs, or stands still.
        case running
        /// It has ended in order, or there never was one.
        case stopped
        /// It was killed.
        case crashed
        /// It ended by itself with that error.
        case failed(MicroError)
    }

    /// "10.0.0.1". A server that listens on any address of the machine listens on this one.
    public let address: String
    let number: Int
    let host: SimulatedNetwork.Host
    let transport: TransportPlugin
    private let make: (@Sendable () async throws -> MicroService)?
    private let facts = Mutex(Facts())

    struct Facts {
        var name = ""
        var state = State.stopped
        var isStalled = false
        var process: SimulatedProcess?
        var service: MicroService?
        /// Ends when the service has.
        var run: ServiceRun?
        var clients: [Client] = []
        /// Its former processes, which are unwound when the simulation ends.
        var former: [FormerProcess] = []
    }

    struct FormerProcess: Sendable {
        var process: SimulatedProcess
        var run: ServiceRun?
        var service: MicroService?
        var clients: [Client]
    }

    init(
        number: Int, address: String, host: SimulatedNetwork.Host, transport: TransportPlugin,
        make: (@Sendable () async throws -> MicroService)?
    ) {
        self.number = number
        self.address = address
        self.host = host
        self.transport = transport
        self.make = make
        facts.withLock { $0.name = address }
    }

    var party: Party { .machine(number) }
    func withFacts<T: Sendable>(_ body: (inout Facts) -> T) -> T {
        facts.withLock { body(&$0) }
    }

    /// "greeter-1", by which others can connect to it, too.
    public var name: String { facts.withLock { $0.name } }

    /// How far its process is.
    public var state: State { facts.withLock { $0.state } }

    /// Whether it stands still; see ``SimulatedWorld/stall(_:for:)``.
    public var isStalled: Bool { facts.withLock { $0.isStalled } }

    /// The service that runs, or ran last; nil on a machine that only has clients.
    public var service: MicroService? { facts.withLock { $0.service } }

    /// The id by which the register knows its service; "" without one.
    public var id: String { service?.nodeID ?? "" }

    /// Time on the machine: that of the whole world, unless its wall clock was skewed.
    public var wallClock: Duration { facts.withLock { $0.process }?.environment.wallClock ?? .zero }

    /// The process that it runs at present.
    ///
    /// - Throws: ``MicroError`` failedPrecondition when there is none.
    func livingProcess() throws -> SimulatedProcess {
        let (process, state) = facts.withLock { ($0.process, $0.state) }
        guard let process else {
            throw MicroError.failedPrecondition(
                "simulation", "\(name) is \(state): no process runs there")
        }
        return process
    }

    func makeService() async throws -> MicroService {
        guard let make else {
            throw MicroError.failedPrecondition("simulation", "\(name) has no service to start")
        }
        return try await make()
    }

    var hasService: Bool { make != nil }
}

/// A service that runs in a process, until it is over.
final class ServiceRun: Sendable {
    private struct State {
        var isReady = false
        var end: Result<Void, any Error>?
        /// Its process does not run any more, and so it has not ended.
        var death: MicroError?
        var waiters: [AsyncStream<Void>.Continuation] = []
    }

    private let state = Mutex(State())

    func becameReady() { change { $0.isReady = true } }
    func ended(_ result: Result<Void, any Error>) { change { $0.end = result } }
    func died(_ error: MicroError) { change { $0.death = error } }

    var end: Result<Void, any Error>? { state.withLock { $0.end } }

    private func change(_ body: (inout State) -> Void) {
        let waiters = state.withLock { state in
            body(&state)
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.finish() }
    }

    private func changes() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        state.withLock { $0.waiters.append(continuation) }
        return stream
    }

    /// Returns when the service takes calls.
    ///
    /// - Throws: Why it never did; `CancellationError`.
    func waitUntilReady() async throws {
        while true {
            let (isReady, end, death) = state.withLock { ($0.isReady, $0.end, $0.death) }
            if let end { return try end.get() }
            if let death { throw death }
            if isReady { return }
            for await _ in changes() {}
            try Task.checkCancellation()
        }
    }

    /// Returns when it has ended.
    ///
    /// - Parameter afterDeath: Whether a process that was killed is waited for.
    /// - Throws: `CancellationError`.
    func waitUntilEnd(afterDeath: Bool = false) async throws {
        while true {
            let (end, death) = state.withLock { ($0.end, $0.death) }
            if end != nil || (death != nil && !afterDeath) { return }
            for await _ in changes() {}
            try Task.checkCancellation()
        }
    }
}
