internal import Micro

extension EtcdOptions {
    /// Reads where etcd is from one line.
    ///
    /// "etcd://host:2379,host2:2379/prefix?user=name&password=secret", and "etcds://" for TLS, with
    /// "ca", "cert" and "key", files in PEM, and "server_name". What stands in the place of a host,
    /// a prefix or a value may be percent-coded.
    ///
    /// - Returns: The options, with the path, "/prefix", as the key prefix; empty without one.
    /// - Throws: ``MicroError`` `invalidArgument` that says what is wrong, without the password.
    public init(url: String) throws {
        let parts = try EtcdURL(url)
        self.init(endpoints: parts.hosts)
        keyPrefix = parts.path
        try apply(parts.parameters, isTLS: parts.isTLS)
        guard problems.isEmpty else {
            throw MicroError.invalid("etcd", problems.joined(separator: "; "), at: "url")
        }
    }

    private mutating func apply(_ parameters: [String: String], isTLS: Bool) throws {
        user = parameters["user"] ?? ""
        password = parameters["password"] ?? ""
        let ofTLS = ["ca", "cert", "key", "server_name"].filter { parameters[$0] != nil }
        guard isTLS else {
            guard let first = ofTLS.first else { return }
            throw MicroError.invalid(
                "etcd", "\"\(first)\" is of TLS: write \"etcds://\" instead of \"etcd://\"",
                at: "url")
        }
        tls = ClientTLSOptions(
            ca: parameters["ca"].map { .file($0) } ?? .system,
            certificate: parameters["cert"].map { .file($0) },
            key: parameters["key"].map { .file($0) }, serverName: parameters["server_name"])
    }
}

/// The parts of a URL of etcd.
struct EtcdURL {
    let isTLS: Bool
    let hosts: [String]
    /// "" or "/prefix", without a slash at the end.
    let path: String
    let parameters: [String: String]

    static let parameterNames = ["user", "password", "ca", "cert", "key", "server_name"]

    init(_ url: String) throws {
        let rest: Substring
        if url.hasPrefix("etcd://") {
            (isTLS, rest) = (false, url.dropFirst("etcd://".count))
        } else if url.hasPrefix("etcds://") {
            (isTLS, rest) = (true, url.dropFirst("etcds://".count))
        } else {
            throw Self.wrong("it has to begin with \"etcd://\" or \"etcds://\"")
        }
        guard rest.utf8.count <= 4096 else { throw Self.wrong("it has more than 4,096 bytes") }
        let query = rest.firstIndex(of: "?")
        let front = rest[..<(query ?? rest.endIndex)]
        let slash = front.firstIndex(of: "/") ?? front.endIndex
        hosts = try front[..<slash].split(separator: ",", omittingEmptySubsequences: false).map {
            guard let host = Self.decode($0), EtcdEndpoint(host) != nil else {
                throw Self.wrong(
                    "\(RegisterName.excerpt(String($0))) is not a host: write "
                        + "\"etcd://host:2379,host2:2379/prefix\"")
            }
            return host
        }
        guard var path = Self.decode(front[slash...]) else {
            throw Self.wrong("its path is not percent-coded text")
        }
        while path.hasSuffix("/") { path.removeLast() }
        self.path = path
        parameters = try Self.parameters(query.map { rest[rest.index(after: $0)...] } ?? "")
    }

    private static func parameters(_ text: Substring) throws -> [String: String] {
        var parameters: [String: String] = [:]
        for part in text.split(separator: "&") {
            let equals = part.firstIndex(of: "=") ?? part.endIndex
            let name = String(part[..<equals])
            guard parameterNames.contains(name) else {
                throw wrong(
                    "\(RegisterName.excerpt(name)) is not a parameter: known are "
                        + parameterNames.joined(separator: ", "))
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
    static func decode(_ text: Substring) -> String? {
        guard let bytes = percentDecoded(text),
            bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
        else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func wrong(_ what: String) -> MicroError {
        MicroError.invalid("etcd", "the URL of etcd is not valid: \(what)", at: "url")
    }
}
