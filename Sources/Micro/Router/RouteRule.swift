/// Which nodes some of the calls may use.
///
/// The first rule whose conditions a call meets decides; a call that meets none may use all nodes.
/// What a call asks for itself, a version for instance, holds beside the rule.
///
/// In JSON, with all that there is:
/// ```json
/// {
///   "name": "canary", "service": "shop", "endpoint": "Cart.*",
///   "headers": {"x-tenant": "beta-*"}, "callerVersion": "2", "callerZone": "eu-*",
///   "percent": 50, "key": "x-user",
///   "to": [{"version": "2", "weight": 5}, {"version": "1", "weight": 95}],
///   "fallback": [{"version": "1"}], "otherwise": "any"
/// }
/// ```
/// Only "name" and "to" have to be there.
public struct RouteRule: Sendable, Hashable {
    /// What happens to a call when none of a rule's subsets has a node.
    public enum Otherwise: String, Sendable, Hashable, Codable {
        /// It fails with `unavailable`.
        case fail
        /// It may use all nodes.
        case any
    }

    /// What it is known by in errors and explanations; each rule has its own.
    public var name: String
    /// Calls of these services.
    public var service: TextPattern
    /// Calls of these endpoints, as callers write them: "Greeter.Hello", "package.Service/Method".
    public var endpoint: TextPattern
    /// Calls whose metadata has all of these; "*" is any value. Names are written in lower case.
    public var headers: [String: TextPattern]
    /// Calls that ask for one of these versions; nil also means calls that ask for none.
    public var version: VersionPattern?
    /// Calls of callers in these zones.
    public var zone: TextPattern
    /// So many percent of the calls, 0 to 100; which of them, their keys decide.
    public var percent: Double
    /// The header that has the key of a call, such as a user: calls with the same key are treated
    /// alike by each rule, by every caller.
    ///
    /// When it is nil or a call lacks it, its ``RouteCall/key`` counts, then its "x-request-id",
    /// and else chance.
    public var key: String?
    /// The nodes to use. Of more than one, the key of a call decides, by weight: the first has the
    /// first part of all keys, so a canary that stands first keeps its callers while it grows.
    public var to: [NodeSubset]
    /// The nodes to use when the chosen subset has none, the first that has any.
    public var fallback: [NodeSubset]
    /// What comes last.
    public var otherwise: Otherwise

    /// - Parameters:
    ///   - name: What it is known by.
    ///   - service: Calls of these services.
    ///   - endpoint: Calls of these endpoints.
    ///   - headers: Calls whose metadata has all of these.
    ///   - version: Calls that ask for one of these versions.
    ///   - zone: Calls of callers in these zones.
    ///   - percent: So many percent of the calls.
    ///   - key: The header that has the key of a call.
    ///   - to: The nodes to use.
    ///   - fallback: The nodes to use when there are none.
    ///   - otherwise: What comes last.
    public init(
        _ name: String, service: TextPattern = .any, endpoint: TextPattern = .any,
        headers: [String: TextPattern] = [:], version: VersionPattern? = nil,
        zone: TextPattern = .any, percent: Double = 100, key: String? = nil, to: [NodeSubset],
        fallback: [NodeSubset] = [], otherwise: Otherwise = .fail
    ) {
        self.name = name
        self.service = service
        self.endpoint = endpoint
        self.headers = headers
        self.version = version
        self.zone = zone
        self.percent = percent
        self.key = key
        self.to = to
        self.fallback = fallback
        self.otherwise = otherwise
    }
}

extension RouteRule: Codable {
    private enum CodingKeys: String, CodingKey {
        case name, service, endpoint, headers, percent, key, to, fallback, otherwise
        case version = "callerVersion"
        case zone = "callerZone"
    }

    /// An object; "name" and "to" have to be there.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        func pattern(_ key: CodingKeys) throws -> TextPattern {
            try values.decodeIfPresent(TextPattern.self, forKey: key) ?? .any
        }
        self.init(
            try values.decode(String.self, forKey: .name),
            service: try pattern(.service), endpoint: try pattern(.endpoint),
            headers: try values.decodeIfPresent(
                [String: TextPattern].self, forKey: .headers) ?? [:],
            version: try values.decodeIfPresent(VersionPattern.self, forKey: .version),
            zone: try pattern(.zone),
            percent: try values.decodeIfPresent(Double.self, forKey: .percent) ?? 100,
            key: try values.decodeIfPresent(String.self, forKey: .key),
            to: try values.decode([NodeSubset].self, forKey: .to),
            fallback: try values.decodeIfPresent([NodeSubset].self, forKey: .fallback) ?? [],
            otherwise: try values.decodeIfPresent(Otherwise.self, forKey: .otherwise) ?? .fail)
    }

    /// An object without the keys that say nothing.
    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(name, forKey: .name)
        if service != .any { try values.encode(service, forKey: .service) }
        if endpoint != .any { try values.encode(endpoint, forKey: .endpoint) }
        if !headers.isEmpty { try values.encode(headers, forKey: .headers) }
        try values.encodeIfPresent(version, forKey: .version)
        if zone != .any { try values.encode(zone, forKey: .zone) }
        if percent != 100 { try values.encode(percent, forKey: .percent) }
        try values.encodeIfPresent(key, forKey: .key)
        try values.encode(to, forKey: .to)
        if !fallback.isEmpty { try values.encode(fallback, forKey: .fallback) }
        if otherwise != .fail { try values.encode(otherwise, forKey: .otherwise) }
    }
}
