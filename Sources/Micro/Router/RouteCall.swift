/// A call, as far as rules look at it.
public struct RouteCall: Sendable {
    /// The service as it stands in the register.
    public var service: String
    /// "Service.Method", or in full "package.Service/Method".
    public var endpoint: String
    /// What goes along with it.
    public var metadata: Metadata
    /// The version that it asks for.
    public var version: String?
    /// What it is about, a user for instance, when the caller says so.
    public var key: String?

    /// - Parameters:
    ///   - service: The service as it stands in the register.
    ///   - endpoint: "Service.Method", or in full "package.Service/Method".
    ///   - metadata: What goes along with it.
    ///   - version: The version that it asks for.
    ///   - key: What it is about.
    public init(
        _ service: String, _ endpoint: String, metadata: Metadata = Metadata(),
        version: String? = nil, key: String? = nil
    ) {
        self.service = service
        self.endpoint = endpoint
        self.metadata = metadata
        self.version = version
        self.key = key
    }
}

/// What a rule says about a call: where it may go.
public struct RouteChoice: Sendable, Hashable {
    /// The name of the rule.
    public let rule: String
    /// The nodes that it may use: of the first of these that has any. They have no weights, and
    /// zones of nodes only.
    public let subsets: [NodeSubset]
    /// Equal for equal subsets only: "version 2 | version 1 | any node".
    let label: String

    init(rule: String, subsets: [NodeSubset]) {
        self.rule = rule
        self.subsets = subsets
        self.label = subsets.map(\.description).joined(separator: " | ")
    }
}
