internal import Synchronization

/// A configuration: a struct with its defaults, and sources that are laid over them.
///
/// ```swift
/// let config = try await Config(
///     AppConfig(), from: [.file("app.json"), .environment(prefix: "APP")])
/// print(config.current.greeting)
/// ```
/// Later sources win: objects are merged key by key, everything else is replaced as a whole.
/// Nothing changes when a source is wrong: the last good value stays, and the error names the
/// source, the key and what was expected. Safe to use from any thread.
public final class Config<Value: Codable & Sendable>: Sendable {
    private struct State {
        var value: Value
        /// Of the load that `value` came from.
        var load: UInt64 = 0
        var lastLoad: UInt64 = 0
    }

    private let sources: [any ConfigSource]
    private let environment: Environment
    private let validate: @Sendable (Value) throws -> Void
    private let defaults: JSONValue
    private let shape: ConfigShape
    private let state: Mutex<State>

    /// Loads a configuration.
    ///
    /// - Parameters:
    ///   - defaults: The values that no source has.
    ///   - sources: Where values come from; later ones win.
    ///   - environment: Where time and blocking work come from.
    ///   - validate: Throws when values don't fit together; the configuration is refused then.
    /// - Throws: ``MicroError``: `invalidArgument` for keys and values that don't fit, with the key
    ///   in `metadata["field"]` and the source in `metadata["source"]`; what a source throws; what
    ///   `validate` throws. `CancellationError`.
    public init(
        _ defaults: Value, from sources: [any ConfigSource], environment: Environment = .current,
        validate: @escaping @Sendable (Value) throws -> Void = { _ in }
    ) async throws {
        let tree = try JSONValue(encoding: defaults)
        guard case .object = tree else {
            throw MicroError.invalid(
                "config", "a \(Value.self) is \(tree.kind): a configuration must be a struct")
        }
        let shape = ConfigShape(of: Value.self, defaults: tree)
        let value = try await Config.load(tree, shape, sources, environment, validate)
        self.sources = sources
        self.environment = environment
        self.validate = validate
        self.defaults = tree
        self.shape = shape
        self.state = Mutex(State(value: value))
    }

    /// The values now: a snapshot that doesn't change. It costs an uncontended lock and a copy.
    public var current: Value { state.withLock { $0.value } }

    /// Reads all sources again, and changes ``current`` when they are right.
    ///
    /// Of two reloads at a time, the one that was begun last counts.
    /// - Returns: The values that this reload found.
    /// - Throws: As `init`; nothing has changed then.
    @discardableResult
    public func reload() async throws -> Value {
        let number = state.withLock { state in
            state.lastLoad += 1
            return state.lastLoad
        }
        let value = try await Config.load(defaults, shape, sources, environment, validate)
        state.withLock { state in
            guard number > state.load else { return }
            state.load = number
            state.value = value
        }
        return value
    }

    private static func load(
        _ defaults: JSONValue, _ shape: ConfigShape, _ sources: [any ConfigSource],
        _ environment: Environment, _ validate: @Sendable (Value) throws -> Void
    ) async throws -> Value {
        var tree = ConfigTree(defaults: defaults, shape: shape)
        for source in sources {
            try Task.checkCancellation()
            try tree.apply(try await source.load(in: environment), from: source.name)
        }
        let value: Value
        do {
            value = try tree.values.decode(Value.self)
        } catch let error as MicroError {
            let field = error.metadata["field"] ?? ""
            let source = tree.origin(of: field) ?? "defaults"
            throw MicroError.invalid(
                "config", "\(source): \(error.detail)", at: field, reason: "WRONG_TYPE",
                metadata: ["source": source])
        }
        try validate(value)
        return value
    }
}
