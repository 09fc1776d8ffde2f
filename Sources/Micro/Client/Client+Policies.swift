extension Client {
    /// The policies of services, by name. Set them with ``setPolicies(_:)``.
    public var policies: [String: ServicePolicy] { currentPolicies.all }

    /// Exchanges the policies of all services, also while calls are under way: those that begin
    /// from now on go by them. Nodes keep their connections and what is known of them, breakers and
    /// limits what they have counted. Any thread.
    ///
    /// With a configuration that is read again:
    /// ```swift
    /// try client.setPolicies(await config.reload().policies)
    /// ```
    ///
    /// - Throws: ``MicroError`` `invalidArgument` that names each value that can't be; then
    ///   everything is as before.
    public func setPolicies(_ policies: [String: ServicePolicy]) throws {
        try currentPolicies.set(policies)
    }
}
