/// Where services are found: nodes announce themselves in it, clients look them up and watch.
///
/// A register that runs on one machine is ``LocalRegister``, one within a process
/// ``MemoryRegister``, one of a local network without a server ``MDNSRegister``, and one that is
/// only read ``FileRegister``. Implementers: `RegisterConformance` in MicroTesting is the whole
/// contract as checks, and ``RegisterFeed`` does the watching for you.
///
/// A node is known by namespace, service and id. Registering it again replaces what was known of it
/// and starts its time to live anew; so a heartbeat is just another registration. Two processes
/// with one id are a mistake: the one that registered last has it.
public protocol Register: Sendable {
    /// The kind of register: "memory", "local".
    var name: String { get }

    /// Which register this is, for people and error messages: "the local register
    /// /run/user/1000/micro/register.sqlite".
    func describe() -> String

    /// Announces a node for the time `ttl`, after which it is forgotten unless it is announced
    /// again.
    ///
    /// - Parameter ttl: More than zero; a server uses about three times its heartbeat's interval.
    /// - Throws: ``MicroError`` — `invalidArgument` for a node that ``ServiceNode/validate()``
    ///   refuses, `alreadyExists` when another process has registered the id since and lives,
    ///   `unavailable` when the register cannot be reached.
    func register(_ node: ServiceNode, ttl: Duration) async throws

    /// Removes a node. One that is unknown, or that another process has registered under the same
    /// id since, is left alone: that is no error.
    ///
    /// - Throws: ``MicroError`` — `unavailable` when the register cannot be reached.
    func deregister(_ node: ServiceNode) async throws

    /// The nodes of a service, of all its versions, by version and id. Empty when it is unknown.
    ///
    /// - Parameter namespace: ``RegisterNamespace/wildcard`` looks in all of them.
    /// - Throws: ``MicroError`` — `invalidArgument`, `unavailable`.
    func lookup(_ service: String, namespace: String) async throws -> [ServiceNode]

    /// The services that have at least one node, by namespace and name.
    ///
    /// - Parameter namespace: ``RegisterNamespace/wildcard`` lists all of them.
    /// - Throws: ``MicroError`` — `invalidArgument`, `unavailable`.
    func list(namespace: String) async throws -> [ServiceRecord]

    /// What happens to the nodes of a service, or of all services when it is nil: first a snapshot,
    /// then each change in order. See ``RegisterEvents``.
    ///
    /// Never throws: a register that cannot be reached is tried again until the watch ends. A name
    /// that is not valid is watched in vain.
    func watch(_ service: String?, namespace: String) -> RegisterEvents

    /// Removes the nodes that were registered through this object, ends its watches and frees what
    /// it holds. Afterwards every call throws `unavailable`. Idempotent.
    func close() async
}

/// The namespaces of a register: services of different ones do not see each other.
public enum RegisterNamespace {
    /// The one that is meant when none is named: "micro".
    public static let standard = "micro"
    /// All of them, in lookups, lists and watches: "*".
    public static let wildcard = "*"
}

extension Register {
    /// The nodes of a service in the standard namespace. See ``lookup(_:namespace:)``.
    public func lookup(_ service: String) async throws -> [ServiceNode] {
        try await lookup(service, namespace: RegisterNamespace.standard)
    }

    /// The services in the standard namespace. See ``list(namespace:)``.
    public func list() async throws -> [ServiceRecord] {
        try await list(namespace: RegisterNamespace.standard)
    }

    /// Watches a service, or all of them, in the standard namespace. See ``watch(_:namespace:)``.
    public func watch(_ service: String? = nil) -> RegisterEvents {
        watch(service, namespace: RegisterNamespace.standard)
    }

    /// What calls after ``close()`` throw.
    package var closedError: MicroError {
        MicroError("register", .unavailable, "\(describe()) is closed")
    }
}
