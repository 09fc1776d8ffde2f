/// Where the nodes of services are in DNS.
///
/// A service is found by SRV records, which have ports and weights, or by the addresses of a host
/// and one port. Headless services of Kubernetes are both: "{service}.shop.svc.cluster.local" has
/// the addresses of all pods that are ready, and "_grpc._tcp.{service}.shop.svc.cluster.local" has
/// their ports, too, when the port has that name.
public struct DNSOptions: Sendable, Hashable {
    /// The name that is asked for, in which "{service}" stands for that of the service:
    /// "_grpc._tcp.{service}". Without a dot at its end the search domains of this machine are
    /// tried, too.
    public var name: String
    /// The port of all nodes: then the name is a host, with an address (A, AAAA) for each node.
    /// nil: it has SRV records.
    public var port: UInt16?
    /// The scheme of the nodes' addresses. "tcp".
    public var scheme: String = "tcp"
    /// Whether TXT records of the same name are read: "version=1.2.0", "zone=eu-1" and
    /// "codecs=json,proto" are of all nodes, others are metadata. false.
    public var readsTexts: Bool = false
    /// Servers to ask, "10.0.0.53", "[fd00::53]:5353", at most 8; empty: those of this machine.
    public var servers: [String] = []
    /// How long one question may take, with all its tries. 5 s.
    public var timeout: Duration = .seconds(5)
    /// How many nodes of a service are taken, 1 to 256; which ones of more stays the same as long
    /// as they are there, and is another choice in each process. 64.
    public var nodesMax: Int = 64
    /// How often a service that is followed is asked for at most, whatever its records say. 1 s.
    public var intervalMin: Duration = .seconds(1)

    /// Where SRV records are found by default: "_grpc._tcp.{service}".
    public static let standardName = "_grpc._tcp.{service}"

    /// - Parameters:
    ///   - name: The name that is asked for.
    ///   - port: The port of all nodes; nil: SRV records say it.
    public init(name: String = DNSOptions.standardName, port: UInt16? = nil) {
        self.name = name
        self.port = port
    }

    /// Reads what follows "dns:" in a URL.
    ///
    /// - "": "_grpc._tcp.{service}".
    /// - "shop.example": "_grpc._tcp.{service}.shop.example".
    /// - "shop.example:4711": "{service}.shop.example", port 4711.
    /// - "_{service}._tcp.example", "{service}-headless:4711": as it is.
    /// - "//10.0.0.53,10.0.0.54:5353/shop.example": of these servers.
    ///
    /// TXT records are read.
    /// - Throws: ``MicroError`` `invalidArgument`, with what is wrong.
    public init(parsing text: String) throws {
        var rest = Substring(text)
        var servers: [String] = []
        if rest.hasPrefix("//") {
            let authority = rest.dropFirst(2).prefix { $0 != "/" }
            servers = authority.split(separator: ",").map(String.init)
            rest = rest.dropFirst(2 + authority.count).drop { $0 == "/" }
        }
        var port: UInt16?
        if let colon = rest.lastIndex(of: ":") {
            guard let number = UInt16(rest[rest.index(after: colon)...]), number > 0 else {
                throw DNSOptions.invalid(text, "the port is not a number from 1 to 65535")
            }
            port = number
            rest = rest[..<colon]
        }
        let place = "{service}"
        let prefix = port == nil ? DNSOptions.standardName : place
        if rest.contains("{") {
            self.init(name: String(rest), port: port)
        } else {
            self.init(name: rest.isEmpty ? prefix : "\(prefix).\(rest)", port: port)
        }
        self.servers = servers
        self.readsTexts = true
        try check()
    }

    private static func invalid(_ text: String, _ reason: String) -> MicroError {
        MicroError.invalid(
            "dns",
            "\(RegisterName.excerpt(text)): \(reason); write \"dns:\", \"dns:shop.example\" or"
                + " \"dns:{service}.shop.example:4711\"", at: "url")
    }

    /// - Throws: ``MicroError`` `invalidArgument` when there can be no such name.
    func check() throws {
        let sample = name.replacing("{service}", with: "s")
        guard RegisterName.isValid(sample), !sample.hasPrefix("."), !sample.contains("..") else {
            throw DNSOptions.invalid(
                name, "this is no name of hosts with at most one kind of braces, \"{service}\"")
        }
        guard (1...256).contains(nodesMax) else {
            throw MicroError.invalid(
                "dns", "nodesMax is \(nodesMax): it must be 1 to 256", at: "nodesMax")
        }
        guard servers.count <= 8 else {
            throw MicroError.invalid(
                "dns", "there are \(servers.count) servers: 8 at most", at: "servers")
        }
    }

    /// The name that is asked for `service`.
    func name(of service: String) -> String { name.replacing("{service}", with: service) }

    var settings: DNSSettings {
        DNSSettings(servers: servers, timeout: timeout, answersMax: nodesMax)
    }
}
