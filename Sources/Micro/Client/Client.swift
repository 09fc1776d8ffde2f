public import Logging
internal import Synchronization

/// Calls services: finds their nodes, balances over them, and tries another one when that is safe.
///
/// Connections and balancing live on the event loops; a call made inside a handler stays on its
/// loop. Messages are written and read where the caller runs, also when that is an actor. Metrics
/// and traces go where the program had bootstrapped them before the first call.
///
/// Safe to use from any thread. ``close(grace:)`` drains; dropping the last reference aborts what
/// is in flight.
public final class Client: Sendable, ContextClient {
    let options: ClientOptions
    let environment: Environment
    @usableFromInline let codecs: Codecs
    let logger: Logger
    let hooks: [ClientHook]
    let directory: NodeDirectory
    let telemetry = ClientTelemetries()
    let currentPolicies: ClientPolicies
    private let tls: ClientTLS
    /// One for each loop; made on first use, so that making a client starts no thread.
    private let slots = Mutex(Slots())

    private struct Slots {
        var made: ClientLoops?
        var isClosed = false
    }

    /// - Parameters:
    ///   - resolver: Finds the nodes of a service by its name.
    ///   - router: Chooses the nodes that a call may use.
    ///   - hooks: Wrapped around every call, the first outermost.
    ///   - codecs: How messages may be written, the preferred first.
    public init(
        resolver: any Resolver, router: any Router = DirectRouter(),
        options: ClientOptions = ClientOptions(), hooks: [ClientHook] = [],
        codecs: Codecs = Codecs(), environment: Environment = .current,
        logger: Logger = Logger(label: "micro.client")
    ) {
        self.options = options
        self.environment = environment
        self.codecs = codecs
        self.logger = logger
        self.hooks = hooks
        self.directory = NodeDirectory(
            resolver: resolver, router: router, environment: environment)
        self.currentPolicies = ClientPolicies(options, subsetKey: environment.random())
        self.tls = ClientTLS(options.tls, environment: environment, logger: logger)
    }

    deinit {
        for slot in madeSlots { slot.close(grace: .zero) {} }
    }

    /// The place of this client on the loop that the call should use; nil when it has to be
    /// prepared first.
    var slotAtHand: ClientLoop? {
        guard let made = slots.withLock({ $0.isClosed ? nil : $0.made }) else { return nil }
        return made.all[environment.loops.preferred.index]
    }

    /// The place of this client on the loop that runs the caller, if it is there already.
    var currentSlot: ClientLoop? {
        guard let loop = EventLoop.current, loop.index >= 0,
            let made = slots.withLock({ $0.isClosed ? nil : $0.made }), loop.index < made.all.count
        else { return nil }
        let slot = made.all[loop.index]
        return slot.loop === loop ? slot : nil
    }

    /// The place of this client on the loop that the call should use.
    func slot() async throws -> ClientLoop {
        if tls.needsPreparation { try await prepareTLS() }
        let made = try slots.withLock { slots in
            if slots.isClosed {
                throw MicroError("client", .unavailable, "the client is closed")
            }
            if let made = slots.made { return made }
            let made = try makeSlots()
            slots.made = made
            return made
        }
        return made.all[environment.loops.preferred.index]
    }

    /// Its places on the loops; none before the first call.
    var madeSlots: [ClientLoop] { slots.withLock { $0.made?.all ?? [] } }

    private func makeSlots() throws -> ClientLoops {
        try checkOptions()
        let limits = options.limits
        let transports = Transports(options.transports, in: environment)
        return ClientLoops(
            all: environment.loops.workers.map {
                ClientLoop(
                    loop: $0, limits: limits, transports: transports, tls: tls,
                    policies: currentPolicies, directory: directory)
            })
    }

    private func checkOptions() throws {
        let problems = options.problems
        guard problems.isEmpty else {
            throw MicroError.invalid("client", problems.joined(separator: "; "))
        }
    }

    /// Reads the certificates, once.
    private func prepareTLS() async throws {
        try checkOptions()
        try await tls.prepare()
    }

    /// Reads the files of ``ClientOptions/tls`` now, changed or not: new connections use what is in
    /// them, and those that are open stay. Does nothing without them.
    ///
    /// - Throws: ``MicroError`` that names the file, or the certificate, and the reason; then
    ///   everything is as before.
    public func reloadCertificates() async throws { try await tls.reload() }

    /// Takes no new calls, waits for those in flight, `grace` at most, cancels the rest and closes
    /// every connection. Idempotent.
    public func close(grace: Duration = .seconds(5)) async {
        let made = slots.withLock { slots in
            slots.isClosed = true
            return slots.made?.all ?? []
        }
        await withTaskGroup(of: Void.self) { group in
            for slot in made { group.addTask { await slot.close(grace: grace) } }
        }
        tls.close()
        await directory.close()
    }
}

/// The places of a client on the loops.
private final class ClientLoops: Sendable {
    let all: [ClientLoop]
    init(all: [ClientLoop]) { self.all = all }
}
