public import Logging

/// How a service runs. Everything has a default that needs no server and no flag.
public struct ServiceOptions: Sendable {
    /// Addresses and limits of the server.
    public var server = ServerOptions()
    /// Times, retries and balancing of the client.
    public var client = ClientOptions()
    /// Hooks around every call that the client makes, the first outermost.
    public var clientHooks: [ClientHook] = []
    /// How messages may be written, the preferred first.
    public var codecs = Codecs()
    /// What carries connections beside the built-in transports, for the server and for the client.
    /// Default: what `MICRO_TRANSPORT` says ("plugin:/path/of.so?option=value"; several are
    /// separated by commas, one in a path is "%2C"), else none.
    public var transports: [TransportPlugin] = []
    /// Where nodes are found; nil: what `MICRO_REGISTER` says, else the `local` register.
    public var register: (any Register)?
    /// What `MICRO_REGISTER` may name beside the built-in registers, by its scheme:
    /// `EtcdRegister.engines` of the module MicroEtcd.
    public var registerEngines: [String: RegisterFactory] = [:]
    /// Where messages are published; nil: what `MICRO_BROKER` says, else one in memory.
    public var broker: (any Broker)?
    /// Where records are kept; nil: what `MICRO_STORE` says ("sqlite:/path/file"), else one in
    /// memory.
    public var store: (any Store)?
    /// What `MICRO_STORE` may name beside the built-in stores, by its scheme: `RedisStore.engines`
    /// of the module MicroRedis.
    public var storeEngines: [String: StoreFactory] = [:]
    /// Where locks are held; nil: what `MICRO_SYNC` says, else in memory.
    public var sync: (any Sync)?
    /// What `MICRO_SYNC` may name beside the built-in locks and ``storeEngines``, by its scheme.
    public var syncEngines: [String: SyncFactory] = [:]
    /// The group of services that see each other.
    public var namespace = RegisterNamespace.standard
    /// What others are told to connect to, each "scheme://address"; empty: what was bound, with
    /// this machine's address where it was bound to all of them.
    public var advertisedAddresses: [String] = []
    /// This node's share of the calls relative to the others, 1 to 1,000.
    public var weight: UInt32 = 100
    /// The place the node runs in, such as an availability zone.
    public var zone = ""
    /// What else the register says about the node.
    public var nodeMetadata: [String: String] = [:]
    /// How long the register keeps a node that it does not hear of. Default 90 s.
    public var registerTTL: Duration = .seconds(90)
    /// How often the node announces itself. Default 30 s.
    public var registerInterval: Duration = .seconds(30)
    /// Between leaving the register and refusing new calls, so that callers learn of it first.
    /// Default 300 ms.
    public var drainDelay: Duration = .milliseconds(300)
    /// How long calls in flight are waited for when the service ends. Their handlers are cancelled
    /// then, and have another second. Default 10 s.
    public var gracePeriod: Duration = .seconds(10)
    /// How long each other step of stopping, and each attempt to enter the register, may take.
    /// Default 5 s.
    public var stepTimeout: Duration = .seconds(5)
    /// Whether `run()` ends in order on SIGTERM and SIGINT, and at once on the second. Default
    /// true.
    public var handlesSignals = true
    /// What the service logs with; its label is "micro" by default.
    public var logger = Logger(label: "micro")

    /// The defaults.
    public init() {}

    /// What can't be run with these, each named.
    var problems: [String] {
        var problems = client.problems
        let durations = [
            ("registerTTL", registerTTL), ("registerInterval", registerInterval),
            ("stepTimeout", stepTimeout),
        ]
        for (name, duration) in durations where duration < .milliseconds(1) {
            problems.append("options.\(name) is \(duration): it must be at least 1 ms")
        }
        for (name, duration) in [("drainDelay", drainDelay), ("gracePeriod", gracePeriod)]
        where duration < .zero {
            problems.append("options.\(name) is \(duration): it must not be negative")
        }
        if registerInterval >= registerTTL {
            problems.append(
                "options.registerInterval is \(registerInterval): it must be less than "
                    + "registerTTL, \(registerTTL), or the node is forgotten between two of them")
        }
        if !(1...1000).contains(weight) {
            problems.append("options.weight is \(weight): it must be 1 to 1,000")
        }
        return problems
    }
}
