/// Rules and routes as a configuration holds them: `{"rules": […], "routes": […]}`.
///
/// ```swift
/// struct Settings: Codable, Sendable { var routing = RouteConfig() }
/// let config = try await Config(
///     Settings(), from: [.file("shop.json")], validate: { try $0.routing.validate() })
/// try router.update(config.reload().routing.rules)
/// ```
public struct RouteConfig: Sendable, Hashable, Codable {
    /// For ``RuleRouter/update(_:)``.
    public var rules: [RouteRule]
    /// For ``RouteTable/replace(with:)``.
    public var routes: [Route]

    /// - Parameters:
    ///   - rules: The first that a call meets decides.
    ///   - routes: All that a table shall have.
    public init(rules: [RouteRule] = [], routes: [Route] = []) {
        self.rules = rules
        self.routes = routes
    }

    private enum CodingKeys: String, CodingKey { case rules, routes }

    /// An object; both keys may be missing.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            rules: try values.decodeIfPresent([RouteRule].self, forKey: .rules) ?? [],
            routes: try values.decodeIfPresent([Route].self, forKey: .routes) ?? [])
    }

    /// - Throws: ``MicroError`` — `invalidArgument` that names the rule or the route, the field and
    ///   what it must be.
    public func validate() throws {
        try RouteRule.validate(rules)
        _ = try RouteTable(routes)
    }
}
