/// A place in a configuration: `http.hosts[2]`.
struct ConfigPath: Sendable, Hashable, CustomStringConvertible {
    let description: String

    init() { description = "" }

    private init(_ description: String) { self.description = description }

    var isRoot: Bool { description.isEmpty }

    subscript(key: String) -> ConfigPath { ConfigPath(isRoot ? key : description + "." + key) }

    subscript(index: Int) -> ConfigPath { ConfigPath(description + "[\(index)]") }

    /// Letters and digits alone, in upper case: what `http.serverTimeout` and `HTTP_SERVER_TIMEOUT`
    /// have in common.
    static func normalized(_ name: String) -> String {
        name.uppercased().filter { $0.isLetter || $0.isNumber }
    }
}

/// Why a value doesn't fit, before it is known where it came from.
enum ConfigFault: Error {
    case unknownKey(ConfigPath, nearest: ConfigPath?)
    case mismatch(ConfigPath, expected: String, found: JSONValue)

    /// The error that the user sees.
    ///
    /// - Parameter source: Where the value came from: "file app.json".
    func error(from source: String) -> MicroError {
        switch self {
        case .unknownKey(let path, let nearest):
            let hint = nearest.map { ": did you mean \($0)?" } ?? ""
            return .invalid(
                "config", "\(source): there is no key \(path)\(hint)", at: path.description,
                reason: "UNKNOWN_KEY", metadata: ["source": source])
        case .mismatch(let path, let expected, let found):
            let place = path.isRoot ? "the whole" : path.description
            // Not the value: it may be a secret.
            let kind = expected.hasPrefix(found.kind) ? "out of that range" : found.kind
            return .invalid(
                "config", "\(source): \(place) must be \(expected), but is \(kind)",
                at: path.description, reason: "WRONG_TYPE", metadata: ["source": source])
        }
    }
}
