public import Logging
internal import Synchronization

/// Calls services: finds their nodes, balances over them, and tries another one when that is safe.
///
/// Connections and balancing live on the event loops; a call made inside a handler stays on its
/// loop. Safe to use from any thread. ``close(grace:)`` drains; dropping the last reference aborts
/// what is in flight.
public final class Client: Sendable, ContextClient {
    let options: ClientOptions
    let environment: Environment
    let codecs: Codecs
    let logger: Logger
    let hooks: [ClientHook]
    let directory: NodeDirectory
    let telemetry = ClientTelemetries()
    /// ``ClientOptions/timeout`` in nanoseconds.
    let timeout: UInt64
    private let tls: ClientTLS
    /// One for each loop; made on first use, so that making a client starts no thread.
    private let slots = AtomicLazyReference<ClientLoops>()
    private let isClosed = Mutex(false)

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
        self.timeout = options.timeout.unsignedNanoseconds
        self.tls = ClientTLS(options.tls, environment: environment, logger: logger)
    }

    deinit {
        for slot in slots.load()?.all ?? [] { slot.close(grace: .zero) {} }
    }

    /// The place of this client on the loop that the call should use; nil when it has to be
    /// prepared first.
    var slotAtHand: ClientLoop? {
        guard let slots = slots.load(), slots.areOpen else { return nil }
        return slots.all[environment.loops.preferred.index]
    }

    /// The place of this client on the loop that the call should use.
    func slot() async throws -> ClientLoop {
        if let slot = slotAtHand { return slot }
        if tls.needsPreparation { try await prepareTLS() }
        let slots = try isClosed.withLock { isClosed in
            if isClosed { throw MicroError("client", .unavailable, "the client is closed") }
            return try self.slots.load() ?? makeSlots()
        }
        return slots.all[environment.loops.preferred.index]
    }

    private func makeSlots() throws -> ClientLoops {
        try checkOptions()
        let limits = options.limits
        return slots.storeIfNil(
            ClientLoops(
                environment.loops.workers.map {
                    ClientLoop(
                        loop: $0, limits: limits, tls: tls, pick: options.selector.policy,
                        directory: directory)
                }))
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
        let made = isClosed.withLock { isClosed in
            isClosed = true
            slots.load()?.close()
            return slots.load()?.all ?? []
        }
        await withTaskGroup(of: Void.self) { group in
            for slot in made { group.addTask { await slot.close(grace: grace) } }
        }
        tls.close()
        await directory.close()
    }
}

/// The places of a client on the loops.
final class ClientLoops: Sendable {
    let all: [ClientLoop]
    private let isClosed = Atomic<Bool>(false)

    init(_ all: [ClientLoop]) { self.all = all }

    /// Whether calls may begin.
    var areOpen: Bool { !isClosed.load(ordering: .relaxed) }

    func close() { isClosed.store(true, ordering: .relaxed) }
}
