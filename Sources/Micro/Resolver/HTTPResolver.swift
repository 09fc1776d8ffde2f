public import Logging
internal import Synchronization

/// Nodes from a web server, which is asked for each service again and again:
/// `GET http://host:port/path?name=greeter`.
///
/// The answer is JSON: `{"nodes": [{"address": "10.0.0.7:4711"}]}`. A node may have all the fields
/// that one in a ``FileRegister`` has; others are passed over, and an address without a scheme is
/// one of `tcp`. 404 means that there is no such service. A server that names the state of its
/// answer (`ETag`) is asked for a newer one only.
///
/// What is known is remembered as by a ``RegisterResolver``: while the server cannot be reached, or
/// answers nonsense, the last nodes stay, with their ``Resolution/age``.
public final class HTTPResolver: Resolver {
    private let resolver: RegisterResolver
    private let source: HTTPNodes

    /// How a resolver asks, and remembers.
    public struct Options: Sendable {
        /// How long to wait before a service is asked for again, up to a tenth more. 30 s.
        public var interval: Duration = .seconds(30)
        /// For one question, from the connection to the last byte. 5 s.
        public var timeout: Duration = .seconds(5)
        /// The largest answer, in bytes. 4 MiB.
        public var bodyBytesMax = 4 << 20
        /// For "https://". nil: the authorities of the system.
        public var tls: ClientTLSOptions?
        /// How nodes are remembered.
        public var memory = RegisterResolver.Options()

        /// The defaults.
        public init() {}
    }

    /// - Parameters:
    ///   - url: "http://host:port/path", or "https://"; without a port it is 80 or 443. A query is
    ///     kept, and the name of the service put behind it.
    ///   - options: How the resolver asks.
    ///   - environment: Its clock, its tasks, its control loop.
    ///   - logger: Takes what is wrong with certificates when they are read again.
    /// - Throws: ``MicroError`` `invalidArgument` for another URL.
    public init(
        url: String, options: Options = Options(), environment: Environment = .current,
        logger: Logger = Logger(label: "micro.resolver")
    ) throws {
        self.source = HTTPNodes(try HTTPPlace(url), options, environment, logger)
        self.resolver = RegisterResolver(
            register: source, namespace: RegisterNamespace.wildcard, options: options.memory,
            environment: environment)
    }

    /// See ``Resolver/resolve(_:)``.
    public func resolve(_ service: String) async throws -> Resolution {
        try await resolver.resolve(service)
    }

    /// See ``Resolver/updates(for:)``.
    public func updates(for service: String) -> ResolverUpdates { resolver.updates(for: service) }

    /// See ``Resolver/refresh(_:)``: the server is asked at once.
    @discardableResult
    public func refresh(_ service: String) async throws -> Resolution {
        try await resolver.refresh(service)
    }

    /// See ``Resolver/close()``.
    public func close() async {
        await resolver.close()
        await source.close()
    }
}

/// Where a web server is, and what it is asked for.
struct HTTPPlace: Sendable, Hashable {
    var address: TransportAddress
    var host: String
    /// "/path?", or "/path?query&".
    private var target: String

    init(_ url: String) throws {
        guard let split = url.firstRange(of: "://"),
            let port = ["http": "80", "https": "443"][url[..<split.lowerBound].lowercased()],
            url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }), !url.contains("#")
        else { throw HTTPPlace.invalid(url) }
        let rest = url[split.upperBound...]
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        host = String(rest[..<end])
        guard !host.isEmpty, !host.contains("@") else { throw HTTPPlace.invalid(url) }
        let hasPort = host.last != "]" && host.contains(":")
        let place = hasPort ? host : "\(host):\(port)"
        guard let number = place.lastIndex(of: ":"),
            let value = UInt16(place[place.index(after: number)...]), value > 0
        else { throw HTTPPlace.invalid(url) }
        address = TransportAddress(scheme: port == "443" ? "tls" : "tcp", rest: place)
        let path = rest[end...]
        target = (path.hasPrefix("/") ? "" : "/") + path + (path.contains("?") ? "&" : "?")
    }

    /// - Parameter service: A valid name: nothing in it has to be escaped.
    func target(_ service: String) -> String { "\(target)name=\(service)" }

    private static func invalid(_ url: String) -> MicroError {
        .invalid(
            "resolver",
            "\(RegisterName.excerpt(url)) is not where a web server is: write"
                + " \"http://host:port/path\"", at: "url")
    }
}

/// The nodes of a web server, as far as a ``RegisterResolver`` needs a register: it watches.
private final class HTTPNodes: Register {
    private let place: HTTPPlace
    private let options: HTTPResolver.Options
    private let environment: Environment
    private let tls: ClientTLS

    init(
        _ place: HTTPPlace, _ options: HTTPResolver.Options, _ environment: Environment,
        _ logger: Logger
    ) {
        self.place = place
        self.options = options
        self.environment = environment
        self.tls = ClientTLS(
            options.tls, protocolName: "http/1.1", environment: environment, logger: logger)
    }

    var name: String { "http" }

    func describe() -> String { "the web server \(place.host)" }

    func register(_ node: ServiceNode, ttl: Duration) async throws { throw readOnly }

    func deregister(_ node: ServiceNode) async throws { throw readOnly }

    /// A server is asked by name only.
    func list(namespace: String) async throws -> [ServiceRecord] { throw readOnly }

    private var readOnly: MicroError {
        .unimplemented("resolver", "\(describe()) is asked for the nodes of a service, and no more")
    }

    func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] {
        var known = Known()
        return try await ask(service, &known)
    }

    /// Each watch asks for itself: a resolver has one for each service.
    func watch(_ service: String?, namespace: String) -> RegisterEvents {
        let feed = RegisterFeed()
        let events = feed.watch(service, namespace: namespace, keeping: self)
        guard let service else {
            feed.finish()
            return events
        }
        environment.spawn { [weak self, weak feed, clock = environment.clock] in
            var known = Known()
            while let pause = await self?.look(service, &known, feed) {
                do { try await clock.sleep(for: pause) } catch { return }
            }
        }
        return events
    }

    func close() async { tls.close() }

    // MARK: Asking

    private struct Known {
        var etag = ""
        var nodes: [ServiceNode] = []
        var failures = 0
    }

    /// Asks once and tells; returns when to ask again, nil when nobody wants to know.
    private func look(
        _ service: String, _ known: inout Known, _ feed: RegisterFeed?
    ) async -> Duration? {
        guard let feed, feed.isWatched else { return nil }
        do {
            feed.replace(with: try await ask(service, &known))
            known.failures = 0
        } catch is CancellationError {
            return nil
        } catch {
            feed.interrupt(MicroError(error, id: "resolver"))
            known.failures += 1
        }
        guard feed.isWatched else { return nil }
        var random = environment.randomness
        let share = Double.random(in: 0..<1, using: &random)
        guard known.failures > 0 else { return options.interval * (1 + share / 10) }
        // After failures sooner, 1 s doubled each time, with full jitter.
        let limit = min(options.interval, .seconds(1 << min(known.failures - 1, 10)))
        return .milliseconds(100) + limit * share
    }

    private func ask(_ service: String, _ known: inout Known) async throws -> [ServiceNode] {
        let answer = try await answer(service, etag: known.etag)
        switch answer.status {
        case 200:
            let rules = NodeDocument.Rules(
                service: service, ignoresOthers: true, scheme: "tcp://")
            do {
                known.nodes = try NodeDocument.nodes(answer.body, rules: rules)
                    .filter { $0.service == service }
            } catch let error as MicroError {
                throw failure("its answer can't be used: \(error.detail)")
            }
            known.etag = answer.etag
        case 304 where !known.etag.isEmpty: break
        case 404: known = Known()
        default: throw failure("it answers with \(answer.status)")
        }
        return known.nodes
    }

    private func failure(_ detail: String) -> MicroError {
        MicroError("resolver", .unavailable, "\(describe()): \(detail)")
    }

    private func answer(_ service: String, etag: String) async throws -> HTTPAnswer {
        var context: TLSContext?
        if place.address.scheme == "tls" {
            try await tls.prepare()
            context = try tls.context()
        }
        let get = HTTPGet(
            address: place.address, host: place.host, target: place.target(service), etag: etag,
            timeout: options.timeout, bodyBytesMax: options.bodyBytesMax, tls: context)
        do {
            return try await get.answer(on: environment.loops.control)
        } catch let error as MicroError {
            throw failure(error.detail)
        }
    }
}
