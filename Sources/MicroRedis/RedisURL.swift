internal import Micro

extension RedisOptions {
    /// Reads where Redis is from one line.
    ///
    /// "redis://user:password@host:6379/2", and "rediss://" for TLS, with "ca", "cert" and "key",
    /// files in PEM, and "server_name", as parameters; "redis://:password@host" for a password
    /// without a user; "redis:///run/redis.sock" for a Unix socket, with the database as the
    /// parameter "db". User, password, path and values may be percent-coded.
    ///
    /// - Throws: ``MicroError`` `invalidArgument` that says what is wrong, without the password.
    public init(url: String) throws {
        let parts = try RedisURL(url, parameters: [])
        try self.init(parts)
    }

    init(_ parts: RedisURL) throws {
        self.init(endpoint: parts.endpoint)
        user = parts.user
        password = parts.password
        database = parts.database
        if parts.isTLS {
            let of = parts.parameters
            tls = ClientTLSOptions(
                ca: of["ca"].map { .file($0) } ?? .system,
                certificate: of["cert"].map { .file($0) }, key: of["key"].map { .file($0) },
                serverName: of["server_name"])
        }
        guard problems.isEmpty else {
            throw MicroError.invalid("redis", problems.joined(separator: "; "), at: "url")
        }
    }
}

/// The parts of a URL of Redis.
struct RedisURL {
    let isTLS: Bool
    let user: String
    let password: String
    let endpoint: String
    let database: Int
    let parameters: [String: String]

    static let schemes = [
        (name: "redis", isTLS: false), (name: "rediss", isTLS: true),
        (name: "valkey", isTLS: false), (name: "valkeys", isTLS: true),
    ]

    private static let ofTLS = ["ca", "cert", "key", "server_name"]

    /// - Parameter parameters: Names that the caller knows besides.
    init(_ url: String, parameters names: [String]) throws {
        guard let scheme = Self.schemes.first(where: { url.hasPrefix("\($0.name)://") }) else {
            throw Self.wrong("it has to begin with \"redis://\" or \"rediss://\"")
        }
        isTLS = scheme.isTLS
        var rest = url.dropFirst(scheme.name.count + 3)
        guard rest.utf8.count <= 4096 else { throw Self.wrong("it has more than 4,096 bytes") }
        if let query = rest.firstIndex(of: "?") {
            let text = rest[rest.index(after: query)...]
            parameters = try Self.parameters(text, known: Self.ofTLS + ["db"] + names)
            rest = rest[..<query]
        } else {
            parameters = [:]
        }
        (user, password, rest) = try Self.credentials(rest)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let path = rest[slash...].dropFirst()
        if slash == rest.startIndex, !path.isEmpty {
            guard let file = Self.decode(rest) else { throw Self.wrong("its path is not text") }
            endpoint = file
            database = try Self.database(parameters["db"] ?? "")
        } else {
            endpoint = String(rest[..<slash])
            guard path.isEmpty || parameters["db"] == nil else {
                throw Self.wrong("it names the database twice")
            }
            database = try Self.database(parameters["db"] ?? String(path))
        }
        guard RedisEndpoint(endpoint) != nil else {
            throw Self.wrong("it has no host: write \"redis://user:password@host:6379/0\"")
        }
        try check()
    }

    private func check() throws {
        if let first = Self.ofTLS.first(where: { parameters[$0] != nil }), !isTLS {
            throw Self.wrong("\"\(first)\" is of TLS: write \"rediss://\" instead of \"redis://\"")
        }
        if isTLS, endpoint.hasPrefix("/") {
            throw Self.wrong("TLS is not for Unix sockets: write \"redis://\"")
        }
    }

    /// What stands before the last "@".
    private static func credentials(_ text: Substring) throws -> (String, String, Substring) {
        let end = text.firstIndex(of: "/") ?? text.endIndex
        // A password with a slash that is not percent-coded would be taken for a path.
        guard let at = text[..<end].lastIndex(of: "@") else {
            guard !text[end...].contains("@") else {
                throw wrong("write a \"/\" or an \"@\" of the password as \"%2F\" or \"%40\"")
            }
            return ("", "", text)
        }
        let front = text[..<at]
        let colon = front.firstIndex(of: ":") ?? front.endIndex
        guard let user = decode(front[..<colon]),
            let password = decode(front[colon...].dropFirst())
        else { throw wrong("its user or its password is not percent-coded text") }
        guard !password.isEmpty else {
            throw wrong("there is a user and no password: write \"redis://user:password@host\"")
        }
        return (user, password, text[text.index(after: at)...])
    }

    private static func database(_ text: String) throws -> Int {
        if text.isEmpty { return 0 }
        guard text.utf8.count <= 6, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
            let number = Int(text)
        else { throw wrong("its path is not the number of a database: write \"redis://host/2\"") }
        return number
    }

    private static func parameters(
        _ text: Substring, known: [String]
    ) throws -> [String: String] {
        var parameters: [String: String] = [:]
        for part in text.split(separator: "&") {
            let equals = part.firstIndex(of: "=") ?? part.endIndex
            let name = String(part[..<equals])
            guard known.contains(name) else {
                throw wrong(
                    "\(RegisterName.excerpt(name)) is not a parameter: known are "
                        + known.joined(separator: ", "))
            }
            guard let value = decode(part[equals...].dropFirst()), !value.isEmpty else {
                throw wrong("\"\(name)\" has no value, or one that is not percent-coded text")
            }
            guard parameters.updateValue(value, forKey: name) == nil else {
                throw wrong("\"\(name)\" stands there twice")
            }
        }
        return parameters
    }

    /// nil for what is not percent-coded UTF-8, or has control characters.
    private static func decode(_ text: Substring) -> String? {
        guard let bytes = percentDecoded(text), bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
        else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    static func wrong(_ what: String) -> MicroError {
        MicroError.invalid("redis", "the URL of redis is not valid: \(what)", at: "url")
    }
}
