public import Micro

/// Where a ``RedisStore`` keeps its records, and what it holds at most.
public struct RedisStoreOptions: Sendable {
    /// Where Redis is.
    public var redis: RedisOptions
    /// What the keys of the store begin with, in braces: "{micro}:records". Stores with different
    /// prefixes have nothing in common; the braces keep a store on one node of a cluster. 1 to 128
    /// bytes without braces and control characters. Default "micro".
    public var prefix = "micro"
    /// What the store holds at most. Default: records and bytes without a bound but that of Redis
    /// itself, and the other defaults of ``StoreLimits``.
    public var limits = StoreLimits(entries: .max, bytes: .max)
    /// How often a watch looks for changes that it was not told about. Default 1 s.
    public var pollInterval: Duration = .seconds(1)

    /// - Parameter redis: Where Redis is.
    public init(_ redis: RedisOptions = RedisOptions()) { self.redis = redis }

    /// Reads the options from one line: as ``RedisOptions/init(url:)``, with the parameter "prefix"
    /// besides, "redis://host/2?prefix=shop".
    ///
    /// - Throws: ``MicroError`` `invalidArgument` that says what is wrong, without the password.
    public init(url: String) throws {
        let parts = try RedisURL(url, parameters: ["prefix"])
        try self.init(RedisOptions(parts))
        if let prefix = parts.parameters["prefix"] { self.prefix = prefix }
        try validate()
    }

    /// - Throws: ``MicroError`` `invalidArgument`, which names what is wrong.
    func validate() throws(MicroError) {
        var problems = redis.problems
        let isPrefix = prefix.utf8.allSatisfy { $0 >= 0x20 && !"{}\u{7f}".utf8.contains($0) }
        if !isPrefix || !(1...128).contains(prefix.utf8.count) {
            problems.append(
                "redis store options: prefix must have 1 to 128 bytes, without braces and control "
                    + "characters")
        }
        for (name, value) in [
            ("entries", limits.entries), ("bytes", limits.bytes), ("keyBytes", limits.keyBytes),
            ("valueBytes", limits.valueBytes + 1), ("batch", limits.batch),
            ("changes", limits.changes), ("changeBytes", limits.changeBytes),
        ] where value < 1 {
            problems.append("redis store options: limits.\(name) is too small")
        }
        if limits.valueBytes > 256 << 20 {
            problems.append("redis store options: limits.valueBytes is over 256 MiB")
        }
        if limits.batch > 100_000 {
            problems.append("redis store options: limits.batch is over 100,000")
        }
        if limits.whenFull != .refuse {
            problems.append(
                "redis store options: limits.whenFull must be refuse: what is evicted is up to Redis"
            )
        }
        if pollInterval < .milliseconds(1) || pollInterval > .seconds(86_400) {
            problems.append("redis store options: pollInterval must be 1 ms to 1 day")
        }
        guard problems.isEmpty else {
            throw .invalid("store", problems.joined(separator: "; "), at: "options")
        }
    }
}
