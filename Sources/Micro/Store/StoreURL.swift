/// Which store, in one line: "memory:", "sqlite:", "sqlite:orders", "sqlite:/var/lib/shop.sqlite".
///
/// It is what `MICRO_STORE` holds. Engines of other modules add schemes of their own.
public struct StoreURL: Sendable, Hashable, CustomStringConvertible {
    /// The part before the first colon, in lower case.
    public let scheme: String
    /// The part behind it; for the built-in schemes a name or a path.
    public let rest: String

    /// - Throws: ``MicroError`` `invalidArgument` when the text has no scheme.
    public init(_ text: String) throws {
        guard let colon = text.firstIndex(of: ":"),
            StoreURL.isScheme(text[..<colon].lowercased())
        else {
            throw MicroError.invalid(
                "store",
                "\"\(text.shortened(to: 64).onSingleLine)\" is not a store: write \"memory:\","
                    + " \"sqlite:\" or \"sqlite:/path/to/file\"", at: "url")
        }
        self.scheme = text[..<colon].lowercased()
        self.rest = String(text[text.index(after: colon)...])
    }

    /// The text it was made from, with the scheme in lower case. It may hold a password.
    public var description: String { "\(scheme):\(rest)" }

    private static func isScheme(_ text: String) -> Bool {
        (1...32).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-")
            }
    }
}

/// Makes the store of a kind from its URL.
public typealias StoreFactory =
    @Sendable (StoreURL, Environment, Codecs) throws -> any Store

/// Makes the store that `url` names.
///
/// - Parameters:
///   - url: "memory:", "sqlite:" for the file `store.sqlite` among this user's own, "sqlite:orders"
///     for `orders.sqlite` there, "sqlite:/path/file" for that file (``SQLiteStore``), or a scheme
///     of `engines`.
///   - engines: Schemes that other modules bring, in lower case. They win over the built-in ones.
///   - environment: What the store runs on.
///   - codecs: What its typed forms encode and decode with.
/// - Throws: ``MicroError`` `invalidArgument` for an unknown scheme, with those that are known, and
///   for a path that is not absolute; what an engine throws.
public func makeStore(
    url: String, engines: [String: StoreFactory] = [:], environment: Environment = .current,
    codecs: Codecs = Codecs()
) throws -> any Store {
    let url = try StoreURL(url)
    if let make = engines[url.scheme] { return try make(url, environment, codecs) }
    switch url.scheme {
    case "memory":
        guard url.rest.isEmpty else {
            throw MicroError.invalid(
                "store", "\(url): a memory store has no path: write \"memory:\"", at: "url")
        }
        return MemoryStore(environment: environment, codecs: codecs)
    case "sqlite": return try sqliteStore(url, environment, codecs)
    default:
        let known = Set(engines.keys).union(["memory", "sqlite"]).sorted()
        throw MicroError.invalid(
            "store",
            "\"\(url.scheme)\" is not a kind of store: known are " + known.joined(separator: ", ")
                + hint(for: url.scheme), at: "url")
    }
}

/// "sqlite:", "sqlite:name", "sqlite:/path/file" and "sqlite:///path/file".
private func sqliteStore(
    _ url: StoreURL, _ environment: Environment, _ codecs: Codecs
) throws -> SQLiteStore {
    let place = url.rest.hasPrefix("///") ? String(url.rest.dropFirst(2)) : url.rest
    if place.isEmpty || SQLiteStore.isName(place) {
        return try SQLiteStore(
            name: place.isEmpty ? "store" : place, environment: environment, codecs: codecs)
    }
    guard place.hasPrefix("/"), !place.hasPrefix("//"), !place.hasSuffix("/") else {
        throw MicroError.invalid(
            "store",
            "\(url): write \"sqlite:name\" with 1 to 64 of a-z, 0-9, \"-\" and \"_\", or"
                + " \"sqlite:/path/to/file\", which must be absolute", at: "url")
    }
    return try SQLiteStore(path: place, environment: environment, codecs: codecs)
}

private func hint(for scheme: String) -> String {
    switch scheme {
    case "postgres", "postgresql":
        "; postgres comes with the module MicroPostgres: give its PostgresStore.engines"
    case "redis", "rediss", "valkey", "valkeys":
        "; redis comes with the module MicroRedis: give its RedisStore.engines"
    default: ""
    }
}
