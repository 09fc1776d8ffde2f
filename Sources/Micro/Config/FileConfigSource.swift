/// A JSON file as a source: an object with the keys of the configuration.
public struct FileConfigSource: ConfigSource {
    /// The largest file, in bytes.
    public static let maxBytes = 1 << 20

    /// Where it is.
    public let path: String

    /// Whether there may be no file.
    public let isOptional: Bool

    /// What happens to keys that the configuration doesn't have.
    public let unknownKeys: ConfigUnknownKeys

    /// Makes a source. Nothing is read before ``load(in:)``.
    ///
    /// - Parameters:
    ///   - path: Relative to the working directory, or absolute. It must end in ".json".
    ///   - isOptional: Whether a file that isn't there counts as an empty one. Default: it's an
    ///     error.
    ///   - unknownKeys: What happens to keys that the configuration doesn't have. Default: an
    ///     error.
    public init(
        _ path: String, isOptional: Bool = false, unknownKeys: ConfigUnknownKeys = .refuse
    ) {
        self.path = path
        self.isOptional = isOptional
        self.unknownKeys = unknownKeys
    }

    /// "file" and the path.
    public var name: String { "file \(path)" }

    /// Reads the file on a worker thread. See ``ConfigSource``.
    public func load(in environment: Environment) async throws -> ConfigLayer {
        guard path.lowercased().hasSuffix(".json") else {
            throw MicroError.unimplemented(
                "config", "\(name): only JSON can be read: the name must end in .json",
                metadata: ["source": name])
        }
        let path = path
        let bytes: [UInt8]
        do {
            bytes = try await environment.offload {
                try readFile(path, maxBytes: FileConfigSource.maxBytes)
            }
        } catch let error as MicroError where isOptional && error.code == .notFound {
            return .tree(.object([:]))
        } catch let error as MicroError {
            throw MicroError("config", error.code, error.detail, metadata: ["source": name])
        }
        do {
            return .tree(try JSONValue(json: bytes), unknownKeys: unknownKeys)
        } catch let error as MicroError {
            throw MicroError.invalid(
                "config", "\(name): \(error.detail)", reason: "INVALID_JSON",
                metadata: ["source": name])
        }
    }
}
