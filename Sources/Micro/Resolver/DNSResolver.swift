public import Logging

/// Finds the nodes of services in DNS, by SRV records or by the addresses of a host.
///
/// ```swift
/// let resolver = try DNSResolver(DNSOptions(name: "{service}.shop.svc.cluster.local", port: 4711))
/// let client = Client(resolver: resolver)
/// ```
/// A service is asked for when it is first called, and again whenever the time to live of its
/// records is over. ``refresh(_:)``, which a client does when it can reach no node, asks at once,
/// but not more than once a second. While no server answers, the last nodes are what there is, with
/// their ``Resolution/age``; a name that is gone has no nodes. Of SRV records those of the lowest
/// priority that have addresses are the nodes, with their weights. Names of /etc/hosts and numeric
/// addresses are found, too. No thread is blocked, and no answer is waited for longer than
/// ``DNSOptions/timeout``.
public final class DNSResolver: Resolver {
    private let register: DNSRegister
    private let resolver: RegisterResolver

    /// - Parameters:
    ///   - options: Where services are found.
    ///   - environment: What it runs on.
    ///   - logger: Told when a service has more nodes than are taken.
    /// - Throws: ``MicroError`` `invalidArgument` for options that make no sense.
    public init(
        _ options: DNSOptions = DNSOptions(), environment: Environment = .current,
        logger: Logger = Logger(label: "micro.resolver")
    ) throws {
        register = try DNSRegister(options, environment: environment, logger: logger)
        // What DNS does not have any more is gone: nothing there has to announce itself anew.
        var memory = RegisterResolver.Options()
        memory.lostGrace = .zero
        resolver = RegisterResolver(
            register: register, options: memory, environment: environment)
    }

    /// "the dns names {service}.shop.example:4711", and of which servers.
    public func describe() -> String { register.describe() }

    /// See ``Resolver/resolve(_:)``.
    public func resolve(_ service: String) async throws -> Resolution {
        try await resolver.resolve(service)
    }

    /// See ``Resolver/updates(for:)``.
    public func updates(for service: String) -> ResolverUpdates { resolver.updates(for: service) }

    /// See ``Resolver/refresh(_:)``. What is younger than a second is not asked for again.
    @discardableResult
    public func refresh(_ service: String) async throws -> Resolution {
        try await resolver.refresh(service)
    }

    /// See ``Resolver/close()``.
    public func close() async {
        await resolver.close()
        await register.close()
    }
}
