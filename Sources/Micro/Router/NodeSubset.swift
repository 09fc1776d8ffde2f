/// Some of the nodes of a service: those that have all that it says.
///
/// In JSON: `{"version": "2", "zone": "@own", "metadata": {"tier": "gold*"}, "weight": 5}`; each
/// part may be missing, and `{}` is all nodes.
public struct NodeSubset: Sendable, Hashable {
    /// Nodes of these versions; nil means any.
    public var version: VersionPattern?
    /// Nodes in this zone, ``ownZone`` for the caller's; nil means any.
    public var zone: String?
    /// Nodes whose metadata has all of these.
    public var metadata: [String: TextPattern]
    /// Its share of the calls, relative to the others of ``RouteRule/to``; 0 to 1,000,000. Of no
    /// account in a fallback.
    public var weight: Int

    /// The zone of the caller: "@own". For a caller without a zone, any.
    public static let ownZone = "@own"

    /// All nodes.
    public static let all = NodeSubset()

    /// - Parameters:
    ///   - version: Nodes of these versions.
    ///   - zone: Nodes in this zone.
    ///   - metadata: Nodes whose metadata has all of these.
    ///   - weight: Its share of the calls.
    public init(
        version: VersionPattern? = nil, zone: String? = nil, metadata: [String: TextPattern] = [:],
        weight: Int = 1
    ) {
        self.version = version
        self.zone = zone
        self.metadata = metadata
        self.weight = weight
    }

    /// Whether it is all nodes.
    var isAll: Bool { version == nil && zone == nil && metadata.isEmpty }

    func matches(_ node: ResolvedNode) -> Bool {
        (version?.matches(node.version) ?? true) && (zone == nil || zone == node.zone)
            && metadata.allSatisfy { name, pattern in
                node.metadata[name].map(pattern.matches) ?? false
            }
    }

    /// The same nodes, as a caller in `zone` sees them, and without a weight.
    func resolved(in zone: String) -> NodeSubset {
        var subset = self
        if subset.zone == NodeSubset.ownZone { subset.zone = zone.isEmpty ? nil : zone }
        subset.weight = 1
        return subset
    }
}

extension NodeSubset: CustomStringConvertible {
    /// For people: "version 2, zone \"eu\"", "any node". Two subsets with the same nodes in them
    /// say the same, and others do not.
    public var description: String {
        var parts: [String] = []
        if let version { parts.append("version \(NodeSubset.shown(version.description))") }
        if let zone { parts.append("zone \(NodeSubset.shown(zone))") }
        for (name, pattern) in metadata.sorted(by: { $0.key < $1.key }) {
            parts.append("\(NodeSubset.shown(name)) = \(NodeSubset.shown(pattern.description))")
        }
        return parts.isEmpty ? "any node" : parts.joined(separator: ", ")
    }

    /// Quoted when it is more than letters, digits and the signs of versions.
    private static func shown(_ text: String) -> String {
        let isPlain =
            !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte)
                    || (0x61...0x7a).contains(byte) || "._-+*".utf8.contains(byte)
            }
        return isPlain ? text : text.debugDescription
    }
}

extension NodeSubset: Codable {
    private enum CodingKeys: String, CodingKey { case version, zone, metadata, weight }

    /// An object; keys that are missing say nothing.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            version: try values.decodeIfPresent(VersionPattern.self, forKey: .version),
            zone: try values.decodeIfPresent(String.self, forKey: .zone),
            metadata: try values.decodeIfPresent(
                [String: TextPattern].self, forKey: .metadata) ?? [:],
            weight: try values.decodeIfPresent(Int.self, forKey: .weight) ?? 1)
    }

    /// An object without the keys that say nothing.
    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encodeIfPresent(version, forKey: .version)
        try values.encodeIfPresent(zone, forKey: .zone)
        if !metadata.isEmpty { try values.encode(metadata, forKey: .metadata) }
        if weight != 1 { try values.encode(weight, forKey: .weight) }
    }
}
