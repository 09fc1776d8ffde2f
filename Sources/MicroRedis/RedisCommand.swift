/// One word of a command: text, bytes or a number.
public struct RedisArgument: Sendable, Hashable, ExpressibleByStringInterpolation,
    ExpressibleByIntegerLiteral
{
    /// What goes to Redis.
    public var bytes: [UInt8]

    /// Bytes as they are.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Text.
    public init(_ text: String) { self.bytes = Array(text.utf8) }

    /// A number.
    public init(_ number: some BinaryInteger) { self.bytes = Array(String(number).utf8) }

    /// Text.
    public init(stringLiteral text: String) { self.init(text) }

    /// A number.
    public init(integerLiteral number: Int64) { self.init(number) }
}

/// A command: its name, and what comes behind it.
///
/// ```swift
/// try await redis.send(["SET", "greeting", "hello", "EX", 60])
/// ```
public struct RedisCommand: Sendable, Hashable, ExpressibleByArrayLiteral {
    /// The words, the name first.
    public var arguments: [RedisArgument]

    /// Whether doing it twice is the same as doing it once: then it is sent again when its
    /// connection broke before the answer. Default: whether it is one of the commands that only
    /// read.
    public var isIdempotent: Bool

    /// How long it may take; nil: ``RedisOptions/timeout``.
    public var timeout: Duration?

    /// How long Redis itself may hold back the answer, as with "BLPOP" or "XREAD … BLOCK"; such a
    /// command belongs on a connection of its own (``RedisClient/withConnection(_:)``).
    public var blocking: Duration = .zero

    /// Makes a command.
    public init(_ arguments: [RedisArgument]) {
        self.arguments = arguments
        self.isIdempotent = arguments.first.map(RedisCommand.isRead) ?? false
    }

    /// Makes a command.
    public init(_ arguments: RedisArgument...) { self.init(arguments) }

    /// Makes a command.
    public init(arrayLiteral arguments: RedisArgument...) { self.init(arguments) }

    /// What it is called, for errors: the words behind it may be secret.
    var name: String {
        let bytes = arguments.first?.bytes.prefix(32) ?? []
        return String(decoding: bytes, as: UTF8.self).uppercased()
    }

    private static func isRead(_ name: RedisArgument) -> Bool {
        name.bytes.count < 32
            && reads.contains(String(decoding: name.bytes, as: UTF8.self).uppercased())
    }

    private static let reads: Set<String> = [
        "BITCOUNT", "BITPOS", "DBSIZE", "DUMP", "ECHO", "EVAL_RO", "EVALSHA_RO", "EXISTS",
        "EXPIRETIME", "GEODIST", "GEOPOS", "GEOSEARCH", "GET", "GETBIT", "GETRANGE", "HEXISTS",
        "HGET", "HGETALL", "HKEYS", "HLEN", "HMGET", "HRANDFIELD", "HSCAN", "HSTRLEN", "HVALS",
        "INFO", "KEYS", "LCS", "LINDEX", "LLEN", "LPOS", "LRANGE", "MGET", "PEXPIRETIME",
        "PFCOUNT", "PING", "PTTL", "RANDOMKEY", "SCAN", "SCARD", "SDIFF", "SINTER", "SINTERCARD",
        "SISMEMBER", "SMEMBERS", "SMISMEMBER", "SRANDMEMBER", "SSCAN", "STRLEN", "SUNION", "TIME",
        "TTL", "TYPE", "XINFO", "XLEN", "XPENDING", "XRANGE", "XREVRANGE", "ZCARD", "ZCOUNT",
        "ZDIFF", "ZINTER", "ZINTERCARD", "ZLEXCOUNT", "ZMSCORE", "ZRANDMEMBER", "ZRANGE",
        "ZRANGEBYLEX", "ZRANGEBYSCORE", "ZRANK", "ZREVRANGE", "ZREVRANK", "ZSCAN", "ZSCORE",
        "ZUNION",
    ]

    /// Writes it as Redis reads it.
    func append(to bytes: inout [UInt8]) {
        func number(_ mark: Character, _ number: Int) {
            bytes += "\(mark)\(number)\r\n".utf8
        }
        number("*", arguments.count)
        for argument in arguments {
            number("$", argument.bytes.count)
            bytes += argument.bytes
            bytes += "\r\n".utf8
        }
    }

    /// How many bytes ``append(to:)`` writes, about.
    var size: Int { arguments.reduce(16) { $0 + $1.bytes.count + 16 } }
}
