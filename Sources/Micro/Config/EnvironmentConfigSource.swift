/// Environment variables as a source: `APP_HTTP_SERVER_TIMEOUT` is `http.serverTimeout`.
///
/// Case and underscores don't matter. The text is read as what the configuration has there:
/// numbers, `true`, `yes`, `on`, `1` and their opposites, durations such as `1.5s`, lists separated
/// by commas; JSON for everything else. Variables that the configuration doesn't have are ignored.
public struct EnvironmentConfigSource: ConfigSource {
    /// What the names begin with, without the underscore that follows.
    public let prefix: String

    private let variables: [String: String]?

    /// Makes a source. Nothing is read before ``load(in:)``.
    ///
    /// - Parameters:
    ///   - prefix: What the names begin with: "APP" for `APP_PORT`.
    ///   - variables: The variables; nil: those of the process.
    public init(prefix: String, variables: [String: String]? = nil) {
        self.prefix = prefix
        self.variables = variables
    }

    /// "environment" and the prefix.
    public var name: String { "environment \(prefix)_*" }

    /// Reads the variables. See ``ConfigSource``.
    public func load(in environment: Environment) async throws -> ConfigLayer {
        guard !prefix.isEmpty else {
            throw MicroError.invalid(
                "config", "the prefix of the environment variables is empty", at: "prefix")
        }
        let start = prefix.uppercased() + "_"
        let found = (variables ?? processVariables())
            .filter { $0.key.uppercased().hasPrefix(start) }
            .sorted { $0.key < $1.key }
        return .texts(
            found.map { name, value in
                ConfigLayer.Text(
                    origin: "environment variable \(name)",
                    key: String(name.dropFirst(start.count)),
                    text: value)
            })
    }
}
