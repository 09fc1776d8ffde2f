internal import Logging
internal import Synchronization

/// The exchangeable parts of a service, each made on first use: what the options give, else what
/// the environment variable says, else the embedded default. This is the only place that picks
/// defaults.
final class ServiceEngines: Sendable {
    private let options: ServiceOptions
    private let environment: Environment
    private let made = Mutex(Made())

    private struct Made {
        var register: (any Register)?
        var broker: (any Broker)?
        var store: (any Store)?
        var sync: (any Sync)?
        var client: Client?
    }

    init(options: ServiceOptions, environment: Environment) {
        self.options = options
        self.environment = environment
    }

    /// What the environment variables say that can't be made, each named.
    var problems: [String] {
        var problems: [String] = []
        if options.register == nil,
            let problem = DefaultEngines.registerProblem(options.registerEngines, environment)
        {
            problems.append(problem)
        }
        if options.store == nil,
            let problem = DefaultEngines.storeProblem(options.storeEngines, environment)
        {
            problems.append(problem)
        }
        if options.sync == nil,
            let problem = DefaultEngines.syncProblem(
                options.syncEngines, options.storeEngines, environment)
        {
            problems.append(problem)
        }
        if options.broker == nil, environment.process == nil,
            let problem = DefaultEngines.memoryProblem("MICRO_BROKER")
        {
            problems.append(problem)
        }
        return problems
    }

    var register: any Register {
        made.withLock { made in
            if let register = made.register { return register }
            let register =
                options.register ?? DefaultEngines.register(options.registerEngines, environment)
            made.register = register
            return register
        }
    }

    var broker: any Broker {
        made.withLock { made in
            if let broker = made.broker { return broker }
            let broker =
                options.broker ?? environment.engines?.broker
                ?? MemoryBroker(environment: environment, codecs: options.codecs)
            made.broker = broker
            return broker
        }
    }

    var store: any Store {
        made.withLock { made in
            if let store = made.store { return store }
            let store =
                options.store
                ?? DefaultEngines.store(options.storeEngines, environment, options.codecs)
            made.store = store
            return store
        }
    }

    var sync: any Sync {
        let store = DefaultEngines.syncsInStore ? store : nil
        return made.withLock { made in
            if let sync = made.sync { return sync }
            let sync =
                options.sync
                ?? DefaultEngines.sync(
                    options.syncEngines, options.storeEngines, in: store, environment)
            made.sync = sync
            return sync
        }
    }

    var client: Client {
        let register = register
        return made.withLock { made in
            if let client = made.client { return client }
            let client = Client(
                resolver: RegisterResolver(
                    register: register, namespace: options.namespace, environment: environment),
                options: options.client, hooks: options.clientHooks, codecs: options.codecs,
                environment: environment, logger: options.logger)
            made.client = client
            return client
        }
    }

    /// Closes what was made here; what the options gave belongs to whoever made it.
    func close(grace: Duration) async {
        let made = made.withLock { $0 }
        if options.broker == nil { await made.broker?.close(timeout: grace) }
        if options.store == nil { await made.store?.close() }
        if options.sync == nil { await made.sync?.close() }
        if options.register == nil { await made.register?.close() }
    }
}

/// What is used where neither the program nor its options say anything.
enum DefaultEngines {
    /// What `MICRO_REGISTER` says, else the `local` register of this machine.
    ///
    /// - Parameter engines: What other modules bring, by scheme.
    static func register(
        _ engines: [String: RegisterFactory], _ environment: Environment
    ) -> any Register {
        if let engines = environment.engines { return engines.register }
        do {
            return try makeRegister(url: registerURL, engines: engines, environment: environment)
        } catch {
            return MisconfiguredRegister(
                problem: "MICRO_REGISTER: \(MicroError(error, id: "").detail)")
        }
    }

    static func registerProblem(
        _ engines: [String: RegisterFactory], _ environment: Environment
    ) -> String? {
        guard environment.process == nil else { return nil }
        do {
            _ = try makeRegister(url: registerURL, engines: engines, environment: environment)
            return nil
        } catch {
            return "MICRO_REGISTER: \(MicroError(error, id: "").detail)"
        }
    }

    private static var registerURL: String { ProcessEnvironment["MICRO_REGISTER"] ?? "local:" }

    /// What `MICRO_STORE` says, else one in memory.
    ///
    /// - Parameter engines: What other modules bring, by scheme.
    static func store(
        _ engines: [String: StoreFactory], _ environment: Environment, _ codecs: Codecs
    ) -> any Store {
        if let engines = environment.engines { return engines.store }
        do {
            return try makeStore(
                url: storeURL, engines: engines, environment: environment, codecs: codecs)
        } catch {
            return MisconfiguredStore(
                problem: "MICRO_STORE: \(MicroError(error, id: "").detail)",
                environment: environment, codecs: codecs)
        }
    }

    static func storeProblem(
        _ engines: [String: StoreFactory], _ environment: Environment
    ) -> String? {
        guard environment.process == nil else { return nil }
        do {
            _ = try makeStore(url: storeURL, engines: engines, environment: environment)
            return nil
        } catch {
            return "MICRO_STORE: \(MicroError(error, id: "").detail)"
        }
    }

    private static var storeURL: String { ProcessEnvironment["MICRO_STORE"] ?? "memory:" }

    /// What `MICRO_SYNC` says, else locks in memory.
    ///
    /// - Parameters:
    ///   - engines: What other modules bring, by scheme.
    ///   - storeEngines: Stores that other modules bring, by scheme.
    ///   - store: That of the service, for ``syncsInStore``.
    static func sync(
        _ engines: [String: SyncFactory], _ storeEngines: [String: StoreFactory],
        in store: (any Store)?, _ environment: Environment
    ) -> any Sync {
        if let engines = environment.engines { return engines.sync }
        do {
            return try makeSync(
                url: syncURL, store: store, engines: engines, storeEngines: storeEngines,
                environment: environment)
        } catch {
            return StoreSync(
                MisconfiguredStore(
                    problem: "MICRO_SYNC: \(MicroError(error, id: "").detail)",
                    environment: environment, codecs: Codecs()))
        }
    }

    static func syncProblem(
        _ engines: [String: SyncFactory], _ storeEngines: [String: StoreFactory],
        _ environment: Environment
    ) -> String? {
        guard environment.process == nil, !syncsInStore else { return nil }
        do {
            _ = try makeSync(
                url: syncURL, engines: engines, storeEngines: storeEngines,
                environment: environment)
            return nil
        } catch {
            return "MICRO_SYNC: \(MicroError(error, id: "").detail)"
        }
    }

    /// Whether the locks are in the service's own store.
    static var syncsInStore: Bool { syncURL == "store:" }

    private static var syncURL: String { ProcessEnvironment["MICRO_SYNC"] ?? "memory:" }

    /// What is wrong with a variable whose only engine is in memory so far.
    static func memoryProblem(_ variable: String) -> String? {
        guard let url = ProcessEnvironment[variable], url != "memory:" else { return nil }
        return "\(variable) is \"\(url)\": the only known engine is \"memory:\""
    }
}

/// Stands for a register whose URL is wrong, so that making a client need not fail: using it does.
private struct MisconfiguredRegister: Register {
    let problem: String

    private var error: MicroError { MicroError.invalid("register", problem) }

    var name: String { "misconfigured" }
    func describe() -> String { problem }
    func register(_ node: ServiceNode, ttl: Duration) async throws { throw error }
    func deregister(_ node: ServiceNode) async throws { throw error }
    func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] { throw error }
    func list(namespace: String) async throws -> [ServiceRecord] { throw error }
    func watch(_ service: String?, namespace: String) -> RegisterEvents {
        let feed = RegisterFeed()
        feed.finish()
        return feed.watch(service, namespace: namespace)
    }
    func close() async {}
}

/// Stands for a store whose URL is wrong, so that making a service need not fail: using it does.
private struct MisconfiguredStore: Store {
    let problem: String
    let environment: Environment
    let codecs: Codecs

    private var error: MicroError { MicroError.invalid("store", problem) }

    var name: String { "misconfigured" }
    func record(_ key: String) async throws -> StoreRecord? { throw error }
    func commit(_ batch: StoreBatch) async throws -> StoreCommit { throw error }
    func list(_ query: StoreQuery) async throws -> StorePage { throw error }
    func changes(prefix: String, from revision: UInt64?) async throws -> StoreChanges {
        throw error
    }
    func close() async {}
}
