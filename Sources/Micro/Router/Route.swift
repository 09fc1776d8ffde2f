/// One way to a service: an address, and how far it is.
///
/// In JSON: `{"service": "shop", "address": "tcp://10.0.0.7:4711", "gateway": "tls://gate:443",
/// "network": "micro", "router": "r-1", "link": "local", "metric": 1, "zone": "eu-1",
/// "version": "1.2.0", "metadata": {"tier": "gold"}}`; only "address" has to be there.
public struct Route: Sendable, Hashable {
    /// The service; ``anyService`` for a gateway that takes all of them.
    public var service: String
    /// Where the service listens: "tcp://10.0.0.7:4711".
    public var address: String
    /// Where to connect to instead, when it can't be reached from here; empty when it can.
    public var gateway: String
    /// The network that it is in.
    public var network: String
    /// Who knows of the route; empty when that is of no interest.
    public var router: String
    /// How it is reached: ``localLink``, or a name of its own.
    public var link: String
    /// How far it is: the lowest are used, the others only when none of those can be. 0 to
    /// 1,000,000,000.
    public var metric: Int
    /// The zone of what is at the address; empty when that is of no interest.
    public var zone: String
    /// The version of the service there.
    public var version: String
    /// Whatever else is known.
    public var metadata: [String: String]

    /// Every service: "*".
    public static let anyService = "*"
    /// "micro".
    public static let standardNetwork = "micro"
    /// "local".
    public static let localLink = "local"

    /// - Parameters:
    ///   - service: The service.
    ///   - address: Where it listens.
    ///   - gateway: Where to connect to instead.
    ///   - network: The network that it is in.
    ///   - router: Who knows of the route.
    ///   - link: How it is reached.
    ///   - metric: How far it is.
    ///   - zone: The zone of what is at the address.
    ///   - version: The version of the service there.
    ///   - metadata: Whatever else is known.
    public init(
        _ service: String = Route.anyService, address: String, gateway: String = "",
        network: String = Route.standardNetwork, router: String = "",
        link: String = Route.localLink, metric: Int = 1, zone: String = "",
        version: String = "latest", metadata: [String: String] = [:]
    ) {
        self.service = service
        self.address = address
        self.gateway = gateway
        self.network = network
        self.router = router
        self.link = link
        self.metric = metric
        self.zone = zone
        self.version = version
        self.metadata = metadata
    }

    /// FNV-1 of 64 bits over service, address, gateway, network, router and link, one behind the
    /// other: what other implementations know a route by.
    public var fingerprint: UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for text in [service, address, gateway, network, router, link] {
            for byte in text.utf8 { hash = hash &* 0x100_0000_01B3 ^ UInt64(byte) }
        }
        return hash
    }

    /// What a table knows it by.
    struct Key: Sendable, Hashable {
        var service, address, gateway, network, router, link: String
    }

    var key: Key {
        Key(
            service: service, address: address, gateway: gateway, network: network,
            router: router, link: link)
    }

    /// Where to connect to.
    var destination: String { gateway.isEmpty ? address : gateway }

    /// Refuses a route that no table may take.
    ///
    /// - Parameter path: Where it stands, for the error: "routes[3]".
    /// - Throws: ``MicroError`` — `invalidArgument` that names the route and the field.
    public func validate(at path: String = "route") throws(MicroError) {
        if service != Route.anyService, !RegisterName.isValid(service) {
            throw fault(
                path, "service", "must have 1 to 255 letters, digits, '.', '-' or '_', or be \"*\"")
        }
        for (field, text) in [("address", address), ("gateway", gateway)]
        where field == "address" || !text.isEmpty {
            do {
                try NodeAddress.check(text)
            } catch {
                throw fault(path, field, MicroError(error, id: "router").detail)
            }
        }
        for (field, text) in [
            ("network", network), ("router", router), ("link", link), ("zone", zone),
            ("version", version),
        ] where text.utf8.count > 255 {
            throw fault(path, field, "has more than 255 bytes")
        }
        guard (0...1_000_000_000).contains(metric) else {
            throw fault(path, "metric", "is \(metric): it must be 0 to 1,000,000,000")
        }
        guard metadata.count <= 64 else {
            throw fault(path, "metadata", "has more than 64 entries")
        }
    }

    private func fault(_ path: String, _ field: String, _ text: String) -> MicroError {
        .invalid(
            "router",
            "route of \(RegisterName.excerpt(service)) to \(RegisterName.excerpt(address)): "
                + "\(field) \(text)", at: "\(path).\(field)")
    }
}

extension Route: Codable {
    private enum CodingKeys: String, CodingKey {
        case service, address, gateway, network, router, link, metric, zone, version, metadata
    }

    /// An object; "address" has to be there.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        func text(_ key: CodingKeys, _ standard: String) throws -> String {
            try values.decodeIfPresent(String.self, forKey: key) ?? standard
        }
        self.init(
            try text(.service, Route.anyService),
            address: try values.decode(String.self, forKey: .address),
            gateway: try text(.gateway, ""), network: try text(.network, Route.standardNetwork),
            router: try text(.router, ""), link: try text(.link, Route.localLink),
            metric: try values.decodeIfPresent(Int.self, forKey: .metric) ?? 1,
            zone: try text(.zone, ""), version: try text(.version, "latest"),
            metadata: try values.decodeIfPresent([String: String].self, forKey: .metadata) ?? [:])
    }
}
