/// Where values of a configuration come from: a file, the environment, a store.
public protocol ConfigSource: Sendable {
    /// For errors: "file app.json".
    var name: String { get }

    /// What it has now.
    ///
    /// - Parameter environment: Where time and blocking work come from.
    /// - Throws: ``MicroError``: the configuration doesn't change then.
    func load(in environment: Environment) async throws -> ConfigLayer
}

extension ConfigSource where Self == FileConfigSource {
    /// A JSON file. See ``FileConfigSource``.
    public static func file(
        _ path: String, isOptional: Bool = false, unknownKeys: ConfigUnknownKeys = .refuse
    ) -> FileConfigSource {
        FileConfigSource(path, isOptional: isOptional, unknownKeys: unknownKeys)
    }
}

extension ConfigSource where Self == EnvironmentConfigSource {
    /// The environment variables that begin with `prefix` and an underscore. See
    /// ``EnvironmentConfigSource``.
    public static func environment(
        prefix: String, variables: [String: String]? = nil
    ) -> EnvironmentConfigSource {
        EnvironmentConfigSource(prefix: prefix, variables: variables)
    }
}
