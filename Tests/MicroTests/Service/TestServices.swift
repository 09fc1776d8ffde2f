import Logging
import Synchronization
import Testing

@testable import Micro

struct Hello: Codable, Sendable, Hashable {
    var name: String
}

struct Greeting: Codable, Sendable, Hashable {
    var message: String
}

extension Endpoint where Request == Hello, Reply == Greeting {
    static var hello: Self { .init("greeter", "Greeter.Hello") }
}

/// Where a test runs: on one thread with virtual time, or over sockets.
enum Place: String, Sendable, CaseIterable, CustomTestStringConvertible {
    case simulation, tcp

    var testDescription: String { rawValue }

    func run(_ body: @escaping @Sendable () async throws -> Void) async throws {
        switch self {
        case .simulation: try await withSimulation(seed: 7, body)
        case .tcp: try await body()
        }
    }

    func address(_ name: String) -> String {
        self == .simulation ? "memory://\(name)" : "tcp://127.0.0.1:0"
    }
}

/// What a service has logged: "level: message", with the metadata in order.
final class LogJournal: Sendable {
    private let journal = Journal<String>()

    var lines: [String] { journal.entries }
    var logger: Logger { Logger(label: "test") { _ in Handler(journal: journal) } }

    func contains(_ parts: String...) -> Bool {
        lines.contains { line in parts.allSatisfy(line.contains) }
    }

    private struct Handler: LogHandler {
        let journal: Journal<String>
        var metadataProvider: Logger.MetadataProvider?
        var metadata: Logger.Metadata = [:]
        var logLevel: Logger.Level = .trace

        init(journal: Journal<String>) { self.journal = journal }

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let facts = metadata.merging(event.metadata ?? [:]) { $1 }
                .sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
            journal.write("\(event.level): \(event.message)\(facts.joined())")
        }
    }
}

extension ClientOptions {
    /// Nothing ends by itself, however busy the machine is.
    static var patient: ClientOptions {
        var options = ClientOptions()
        options.timeout = .seconds(120)
        options.connectTimeout = .seconds(120)
        options.keepaliveInterval = .zero
        return options
    }
}

extension ServerOptions {
    /// The same.
    static func patient(at addresses: String...) -> ServerOptions {
        var options = ServerOptions(addresses: addresses)
        options.prefaceTimeout = .seconds(120)
        options.headerTimeout = .seconds(120)
        options.bodyTimeout = .seconds(120)
        options.writeTimeout = .seconds(120)
        return options
    }
}

/// A service for a test, which does not start.
func makeService(
    _ name: String = "greeter", version: String = "1.0.0", at address: String? = nil,
    in register: (any Register)? = nil, log: LogJournal = LogJournal(),
    _ configure: (inout ServiceOptions) -> Void = { _ in }
) -> MicroService {
    var options = ServiceOptions()
    options.register = register ?? MemoryRegister()
    options.handlesSignals = false
    options.drainDelay = .zero
    options.logger = log.logger
    options.server = .patient(at: address ?? "memory://\(name)")
    options.client = .patient
    configure(&options)
    return MicroService(name: name, version: version, options: options)
}

/// Starts the services, runs `body`, and stops them, whatever happens.
func running(
    _ services: MicroService..., body: () async throws -> Void
) async throws {
    var started: [MicroService] = []
    do {
        for service in services {
            try await service.start()
            started.append(service)
        }
        try await body()
    } catch {
        for service in started.reversed() { try? await service.stop() }
        throw error
    }
    for service in started.reversed() { try await service.stop() }
}

/// A client that knows the addresses of one service, and no register.
func makeClient(
    of service: String = "greeter", at addresses: String..., options: ClientOptions = .patient
) -> Client {
    Client(resolver: StaticResolver(addresses: [service: addresses]), options: options)
}

/// A register in memory that says what is asked of it, and fails when it is told to.
final class ScriptedRegister: Register {
    enum Mood: Sendable { case fine, down, hanging }

    let journal = Journal<String>()
    private let memory = MemoryRegister()
    private let clock = Environment.current.clock
    private let mood: Mutex<Mood>

    init(_ mood: Mood = .fine) { self.mood = Mutex(mood) }

    var name: String { "scripted" }
    func describe() -> String { "the scripted register" }
    func become(_ mood: Mood) { self.mood.withLock { $0 = mood } }

    /// What was asked, without the times.
    var requests: [String] {
        journal.entries.map { $0.split(separator: " ").prefix(1).joined() }
    }

    private func enter(_ request: String) async throws {
        journal.write("\(request) at \(virtualMilliseconds)")
        switch mood.withLock({ $0 }) {
        case .fine: break
        case .down: throw MicroError("scripted", .unavailable, "the register is down")
        case .hanging: try await clock.sleep(for: .seconds(86_400))
        }
    }

    func register(_ node: ServiceNode, ttl: Duration) async throws {
        try await enter("register")
        try await memory.register(node, ttl: ttl)
    }

    func deregister(_ node: ServiceNode) async throws {
        try await enter("deregister")
        try await memory.deregister(node)
    }

    func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] {
        try await memory.lookup(service, namespace: namespace)
    }

    func list(namespace: String) async throws -> [ServiceRecord] {
        try await memory.list(namespace: namespace)
    }

    func watch(_ service: String?, namespace: String) -> RegisterEvents {
        memory.watch(service, namespace: namespace)
    }

    func close() async { await memory.close() }
}
