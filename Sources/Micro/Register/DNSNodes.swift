/// The nodes of services as DNS knows them.
final class DNSNodes: Sendable {
    let options: DNSOptions
    private let resolver: LoopDNS

    init(_ options: DNSOptions, _ environment: Environment) {
        self.options = options
        self.resolver = LoopDNS(on: environment.loops.control, options.settings)
    }

    struct Answer: Sendable {
        var nodes: [ServiceNode]
        /// How many more there are.
        var cut: Int
        /// Asking earlier gives the same answer.
        var timeToLive: Duration
        /// How long ago it should have been renewed; zero while it is current.
        var age: Duration
    }

    /// - Parameter isFresh: Not from memory, unless that is younger than a second.
    /// - Throws: ``MicroError``, `CancellationError`.
    func ask(_ service: String, isFresh: Bool) async throws -> Answer {
        let name = options.name(of: service)
        let question: DNSQuestion = options.port == nil ? .services : .addresses
        let reply = try await resolver.ask(question, name, isFresh: isFresh)
        let texts = options.readsTexts && reply.isFound ? await texts(of: name, isFresh) : []
        let facts = DNSFacts(texts)
        let found = options.port.map { hosts(reply.addresses, port: $0) } ?? services(reply)
        let nodes = found.map { facts.node($0, of: service) }.sorted(by: ServiceRecord.order)
        return Answer(
            nodes: nodes, cut: reply.cut, timeToLive: reply.timeToLive, age: reply.age)
    }

    /// A name without texts, or whose texts can't be had now, is no worse a name.
    private func texts(of name: String, _ isFresh: Bool) async -> [String] {
        (try? await resolver.ask(.texts, name, isFresh: isFresh))?.texts ?? []
    }

    func close() { resolver.close() }

    // MARK: Nodes

    struct Found: Sendable, Hashable {
        var id: String
        var addresses: [String]
        var weight: UInt32 = 100
    }

    /// A node for each address. One that has IPv4 and IPv6 is one machine as a rule, so that those
    /// of IPv6 count only when there are no others.
    private func hosts(_ addresses: [DNSReply.Address], port: UInt16) -> [Found] {
        let hasIPv4 = addresses.contains { !$0.isIPv6 }
        return addresses.filter { !(hasIPv4 && $0.isIPv6) }.map { address in
            Found(
                id: DNSNodes.id(address.host, port),
                addresses: ["\(options.scheme)://\(address.text(port: port))"])
        }
    }

    /// A node for each target, of those of the first priority that has any.
    private func services(_ reply: DNSReply) -> [Found] {
        let reachable = reply.services.filter { !$0.addresses.isEmpty }
        guard let priority = reachable.map(\.priority).min() else { return [] }
        let first = reachable.filter { $0.priority == priority }
        let heaviest = first.map { UInt32($0.weight) }.max() ?? 0
        return first.map { service in
            Found(
                id: DNSNodes.id(service.target, service.port),
                addresses: service.addresses.map {
                    "\(options.scheme)://\($0.text(port: service.port))"
                },
                weight: DNSNodes.weight(service.weight, heaviest: heaviest))
        }
    }

    /// SRV has weights from 0 to 65,535, nodes from 1 to 1,000.
    static func weight(_ weight: UInt16, heaviest: UInt32) -> UInt32 {
        guard heaviest > 0 else { return 100 }
        let scaled = heaviest <= 1000 ? UInt32(weight) : UInt32(weight) * 1000 / heaviest
        return max(1, scaled)
    }

    /// As a register knows nodes by: other characters than those of a name are '_'.
    static func id(_ host: String, _ port: UInt16) -> String {
        let name = host.lowercased().unicodeScalars.map { scalar in
            RegisterName.isValid(String(scalar)) ? Character(scalar) : "_"
        }
        return String((String(name) + "-\(port)").suffix(255))
    }
}

/// What the TXT records of a service say of all of its nodes.
struct DNSFacts: Sendable, Hashable {
    private var version = "latest"
    private var zone = ""
    private var codecs: [String] = []
    private var metadata: [String: String] = [:]

    private static let entriesMax = 64

    init(_ texts: [String]) {
        for text in texts.prefix(DNSFacts.entriesMax) {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty else { continue }
            let value = String(parts[1])
            switch parts[0].lowercased() {
            case "version": version = value
            case "zone": zone = value
            case "codecs": codecs = value.split(separator: ",").map(String.init)
            case let key where metadata[key] == nil: metadata[key] = value  // RFC 6763 6.4
            default: break
            }
        }
    }

    func node(_ found: DNSNodes.Found, of service: String) -> ServiceNode {
        ServiceNode(
            id: found.id, service: service, version: version, addresses: found.addresses,
            weight: found.weight, zone: zone, metadata: metadata, codecs: codecs)
    }
}
