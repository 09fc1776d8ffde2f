/// Makes locks of a kind from a URL.
public typealias SyncFactory = @Sendable (StoreURL, Environment) throws -> any Sync

/// Makes the locks that `url` names, as `MICRO_SYNC` does.
///
/// - Parameters:
///   - url: "memory:" for those of this process, "store:" for locks in `store`, any URL that
///     ``makeStore(url:engines:environment:codecs:)`` understands ("sqlite:/path/file" for the
///     processes of a machine) for locks in that store, or a scheme of `engines`.
///   - store: The store of the service; nil: it has none.
///   - engines: Schemes that other modules bring, in lower case. They win over the others.
///   - storeEngines: Schemes of stores that other modules bring.
///   - environment: What the locks run on.
/// - Throws: ``MicroError`` `invalidArgument`: an unknown scheme, or what is behind it; what an
///   engine throws.
public func makeSync(
    url: String, store: (any Store)? = nil, engines: [String: SyncFactory] = [:],
    storeEngines: [String: StoreFactory] = [:], environment: Environment = .current
) throws -> any Sync {
    let parsed = try StoreURL(url)
    if let make = engines[parsed.scheme] { return try make(parsed, environment) }
    switch parsed.scheme {
    case "memory":
        guard parsed.rest.isEmpty else {
            throw MicroError.invalid(
                "sync", "\(parsed): locks in memory have no path: write \"memory:\"", at: "url")
        }
        return MemorySync(environment: environment)
    case "store":
        guard let store, parsed.rest.isEmpty else {
            throw MicroError.invalid(
                "sync", "\"store:\" stands alone, and needs a store", at: "url")
        }
        return StoreSync(store)
    case "etcd", "etcds":
        throw MicroError.invalid(
            "sync", "etcd comes with the module MicroEtcd: give its EtcdSync.engines", at: "url")
    default:
        var options = StoreSync.Options()
        options.closesStore = true
        return StoreSync(
            try makeStore(url: url, engines: storeEngines, environment: environment),
            options: options)
    }
}
