internal import Micro

/// Why something failed, as the ``MicroError/reason`` of an error. What Redis itself refuses has
/// Redis's own word, "WRONGTYPE"; the usual ones are here, too.
public enum RedisReason {
    /// What came from the server is no reply of Redis.
    public static let protocolError = "PROTOCOL"
    /// A reply is larger than ``RedisOptions/replyBytes``.
    public static let replyTooLarge = "REPLY_TOO_LARGE"
    /// More commands wait than ``RedisOptions/commands``, or more bytes than
    /// ``RedisOptions/commandBytes``.
    public static let tooManyCommands = "TOO_MANY_COMMANDS"
    /// The client, or the connection, was closed.
    public static let closed = "CLOSED"
    /// Redis wants to know who calls.
    public static let authenticationRequired = "NOAUTH"
    /// The user or the password is wrong.
    public static let wrongPassword = "WRONGPASS"
    /// The user may not.
    public static let permissionDenied = "NOPERM"
    /// Redis has no memory left (maxmemory) and may not evict.
    public static let outOfMemory = "OOM"
    /// The key holds something of another type.
    public static let wrongType = "WRONGTYPE"
    /// The script is not known to the server.
    public static let noScript = "NOSCRIPT"
    /// The server only reads: it is a replica.
    public static let readOnly = "READONLY"
    /// The key belongs to another node of the cluster.
    public static let moved = "MOVED"
}

/// Turns what Redis says into errors that say what to do: pure.
enum RedisFailure {
    private static let kinds: [String: (code: MicroError.Code, advice: String)] = [
        "NOAUTH": (.unauthenticated, "give a user and a password"),
        "WRONGPASS": (.unauthenticated, "give the right user and password"),
        "NOPERM": (.permissionDenied, "grant the user the right to this command and these keys"),
        "OOM": (.resourceExhausted, "delete something, or raise its maxmemory"),
        "WRONGTYPE": (.failedPrecondition, "another program uses this key"),
        "LOADING": (.unavailable, "it has just been started: try again"),
        "BUSY": (.unavailable, "a script runs: try again"),
        "MASTERDOWN": (.unavailable, "its master is away"),
        "CLUSTERDOWN": (.unavailable, "the cluster is not whole"),
        "TRYAGAIN": (.unavailable, "the cluster moves these keys: try again"),
        "READONLY": (.unavailable, "it is a replica: call its master"),
        "NOREPLICAS": (.unavailable, "too few replicas are there"),
        "MISCONF": (.unavailable, "it can't write its snapshots"),
        "UNKILLABLE": (.unavailable, "a script that has written runs"),
        "MOVED": (.failedPrecondition, "the key is on another node of the cluster: call that one"),
        "ASK": (.failedPrecondition, "the key moves to another node of the cluster"),
        "CROSSSLOT": (.invalidArgument, "the keys are on more than one node of the cluster"),
        "NOSCRIPT": (.notFound, "send its text"),
        "EXECABORT": (.aborted, "nothing of the transaction was done"),
        "BUSYGROUP": (.alreadyExists, "the group is there already"),
        "BUSYKEY": (.alreadyExists, "the key is there already"),
        "NOGROUP": (.notFound, "make the group first"),
        "NOTBUSY": (.failedPrecondition, "no script runs"),
    ]

    /// Beginnings of what follows "ERR".
    private static let texts: [(text: String, code: MicroError.Code)] = [
        ("unknown command", .unimplemented), ("unknown subcommand", .unimplemented),
        ("max number of clients", .unavailable), ("invalid password", .unauthenticated),
        ("Client sent AUTH", .failedPrecondition), ("AUTH <password>", .failedPrecondition),
        ("DB index", .invalidArgument), ("invalid DB index", .invalidArgument),
        ("syntax error", .invalidArgument), ("wrong number of arguments", .invalidArgument),
        ("value is not an integer", .invalidArgument), ("no such key", .notFound),
        ("Protocol error", .internal),
    ]

    /// - Parameters:
    ///   - text: What Redis says: "WRONGTYPE Operation against …".
    ///   - operation: "redis.get".
    ///   - place: "redis at 127.0.0.1:6379".
    static func explain(_ text: String, _ operation: String, at place: String) -> MicroError {
        var word = String(text.prefix { $0 != " " })
        if text.hasPrefix("ERR Error running script") {
            // Redis 6 hides there what a command of the script said.
            word =
                text.split(separator: " ").first { kinds[String($0)] != nil }.map(String.init)
                ?? word
        }
        let detail = "\(place): \(text.prefix(1024))"
        if let kind = kinds[word] {
            return MicroError(
                operation, kind.code, "\(detail): \(kind.advice)", reason: word)
        }
        let isWord = !word.isEmpty && word.utf8.allSatisfy { $0 >= 0x41 && $0 <= 0x5a }
        let rest = text.dropFirst(word.count).drop { $0 == " " }
        let code = texts.first { rest.hasPrefix($0.text) }?.code ?? .unknown
        return MicroError(operation, code, detail, reason: isWord && word != "ERR" ? word : "")
    }

    /// The same for something that stands for a lost connection and the like.
    static func closed(_ place: String) -> MicroError {
        .unavailable("redis", "\(place): the client is closed", reason: RedisReason.closed)
    }
}
