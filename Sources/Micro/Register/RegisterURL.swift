/// Which register, in one line: "memory:", "local:", "local:/run/shop/register.sqlite",
/// "file:/etc/shop/nodes.json", "mdns:", "mdns:eth0".
///
/// It is what `MICRO_REGISTER` holds. Engines of other modules add schemes of their own.
public struct RegisterURL: Sendable, Hashable, CustomStringConvertible {
    /// The part before the first colon, in lower case.
    public let scheme: String
    /// The part behind it; for the built-in schemes a path.
    public let rest: String

    /// - Throws: ``MicroError`` `invalidArgument` when the text has no scheme.
    public init(_ text: String) throws {
        guard let colon = text.firstIndex(of: ":"), colon > text.startIndex,
            RegisterName.isValid(String(text[..<colon]))
        else {
            throw MicroError.invalid(
                "register",
                "\(RegisterName.excerpt(text)) is not a register: write \"memory:\", \"local:\","
                    + " \"local:/path/to/file\", \"file:/path/to/file\" or \"mdns:\"", at: "url")
        }
        self.scheme = text[..<colon].lowercased()
        self.rest = String(text[text.index(after: colon)...])
    }

    /// The text it was made from, with the scheme in lower case.
    public var description: String { "\(scheme):\(rest)" }
}

/// Makes the register of a kind from its URL.
public typealias RegisterFactory = @Sendable (RegisterURL, Environment) throws -> any Register

/// Makes the register that `url` names.
///
/// - Parameters:
///   - url: "memory:", "local:" for this user's own on this machine, "local:/path/file" for one in
///     that file, "file:/path/nodes.json" for a ``FileRegister``, "mdns:" or "mdns:eth0" for an
///     ``MDNSRegister``, "dns:shop.example" for one that is read from DNS
///     (``DNSOptions/init(parsing:)``), or a scheme of `engines`.
///   - engines: Schemes that other modules bring, in lower case. They win over the built-in ones.
///   - environment: What the register runs on.
/// - Throws: ``MicroError`` `invalidArgument` for an unknown scheme, with those that are known, and
///   for a path that is not absolute; what an engine throws.
public func makeRegister(
    url: String, engines: [String: RegisterFactory] = [:], environment: Environment = .current
) throws -> any Register {
    let url = try RegisterURL(url)
    if let make = engines[url.scheme] { return try make(url, environment) }
    switch url.scheme {
    case "memory":
        guard url.rest.isEmpty else {
            throw MicroError.invalid(
                "register", "\(url): a memory register has no path: write \"memory:\"", at: "url")
        }
        return MemoryRegister(environment: environment)
    case "local":
        guard !url.rest.isEmpty else { return LocalRegister(environment: environment) }
        return LocalRegister(path: try path(of: url), environment: environment)
    case "file":
        return FileRegister(path: try path(of: url), environment: environment)
    case "mdns":
        var options = MDNSRegister.Options()
        if !url.rest.isEmpty { options.interface = url.rest }
        guard url.rest.isEmpty || RegisterName.isValid(url.rest) else {
            throw MicroError.invalid(
                "register",
                "\(url): write \"mdns:\", or \"mdns:eth0\" for one network interface", at: "url")
        }
        return MDNSRegister(options: options, environment: environment)
    case "dns": return try DNSRegister(DNSOptions(parsing: url.rest), environment: environment)
    default:
        let hint =
            ["etcd", "etcds"].contains(url.scheme)
            ? "; etcd comes with the module MicroEtcd: give its EtcdRegister.engines" : ""
        let known = Set(engines.keys).union(["dns", "file", "local", "mdns", "memory"]).sorted()
        throw MicroError.invalid(
            "register",
            "\(RegisterName.excerpt(url.scheme)) is not a kind of register: known are "
                + known.joined(separator: ", ") + hint, at: "url")
    }
}

/// "/path/file" of "local:/path/file" and "local:///path/file".
private func path(of url: RegisterURL) throws -> String {
    let path = url.rest.hasPrefix("///") ? String(url.rest.dropFirst(2)) : url.rest
    guard path.hasPrefix("/"), !path.hasPrefix("//"), !path.hasSuffix("/") else {
        throw MicroError.invalid(
            "register",
            "\(url): the path of the file must be absolute: \"\(url.scheme):/path/to/file\"",
            at: "url")
    }
    return path
}
