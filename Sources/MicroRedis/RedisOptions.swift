public import Micro

/// Where Redis is, and how it is talked to.
public struct RedisOptions: Sendable {
    /// "host", "host:port", "[::1]:6379", or the path of a Unix socket, "/run/redis.sock". The port
    /// is 6379 when there is none.
    public var endpoint: String
    /// Whom to trust and what to show, for Redis behind TLS. Default: nil, no TLS.
    public var tls: ClientTLSOptions?
    /// Who calls; empty: Redis's default user.
    public var user = ""
    /// The password; empty: there is none. It is sent to Redis alone, and shown nowhere.
    public var password = ""
    /// The number of the database. Default 0.
    public var database = 0
    /// How long a command may take in all, with what it waits for a connection. Default 5 s.
    public var timeout: Duration = .seconds(5)
    /// How long a connection may take, with TLS and the password. Default 3 s.
    public var connectTimeout: Duration = .seconds(3)
    /// A connection on which answers are due and nothing has come for so long is dead. Default
    /// 10 s.
    public var stallTimeout: Duration = .seconds(10)
    /// A connection that was not used for so long is pinged. Default 30 s.
    public var pingInterval: Duration = .seconds(30)
    /// How many times a command is sent at most: when it could not be written before its connection
    /// broke, or may be repeated (``RedisCommand/isIdempotent``). Default 3.
    public var attempts = 3
    /// How many commands of a connection wait for their answer at most. Default 10,000.
    public var commands = 10_000
    /// The bytes of the commands that wait to be sent. Default 64 MiB.
    public var commandBytes = 64 << 20
    /// The largest reply, in bytes. Default 64 MiB.
    public var replyBytes = 64 << 20
    /// The most values in one reply. Default 1,048,576.
    public var replyValues = 1 << 20
    /// How many messages of a subscription wait for their reader; then the server is stopped, which
    /// ends it when too much waits there. Default 1,000.
    public var messages = 1_000

    /// Transports beside those that are built in. They win over them, so that faults can be put
    /// into TCP.
    public var transports: [TransportPlugin] = []

    /// - Parameters:
    ///   - endpoint: Where it is.
    ///   - tls: Whom to trust and what to show; nil: no TLS.
    public init(endpoint: String = "127.0.0.1:6379", tls: ClientTLSOptions? = nil) {
        self.endpoint = endpoint
        self.tls = tls
    }

    /// What can't be used, each named.
    var problems: [String] {
        var problems: [String] = []
        if RedisEndpoint(endpoint) == nil {
            problems.append("redis options: endpoint is not \"host:6379\"")
        }
        if !user.isEmpty, password.isEmpty {
            problems.append("redis options: a user without a password")
        }
        if tls != nil, endpoint.hasPrefix("/") {
            problems.append("redis options: TLS is not for Unix sockets")
        }
        for (name, value, most) in [
            ("database", database + 1, 1 << 20), ("attempts", attempts, 100),
            ("commands", commands, 1 << 24), ("commandBytes", commandBytes, 1 << 40),
            ("replyBytes", replyBytes, 1 << 40), ("replyValues", replyValues, 1 << 30),
            ("messages", messages, 1 << 24),
        ] where value < 1 || value > most {
            problems.append("redis options: \(name) is out of range")
        }
        for (name, value) in [
            ("timeout", timeout), ("connectTimeout", connectTimeout),
            ("stallTimeout", stallTimeout), ("pingInterval", pingInterval),
        ] where value < .milliseconds(1) || value > .seconds(86_400) {
            problems.append("redis options: \(name) is \(value): it must be 1 ms to 1 day")
        }
        return problems
    }

    /// For the transport.
    var address: String {
        guard let endpoint = RedisEndpoint(endpoint) else { return "" }
        if endpoint.isPath { return "unix://\(endpoint.text)" }
        return (tls == nil ? "tcp://" : "tls://") + endpoint.text
    }

    /// For people: "redis at 127.0.0.1:6379".
    var place: String { "redis at \(RedisEndpoint(endpoint)?.text ?? "?")" }

    var replyLimits: ReplyReader.Limits {
        ReplyReader.Limits(bytes: replyBytes, values: replyValues)
    }
}

/// Whatever is printed of them has no password.
extension RedisOptions: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// "redis at 127.0.0.1:6379".
    public var description: String { place }

    /// As ``description``.
    public var debugDescription: String { place }

    /// What `dump` shows.
    public var customMirror: Mirror {
        Mirror(self, children: ["endpoint": endpoint, "user": user, "database": database])
    }
}

/// "host", "host:port", "[::1]:port", "/path".
struct RedisEndpoint: Hashable {
    static let standardPort: UInt16 = 6379

    /// With its port.
    let text: String
    let isPath: Bool

    /// nil when it is none.
    init?(_ text: String) {
        guard !text.isEmpty, text.utf8.count <= 300 else { return nil }
        isPath = text.hasPrefix("/")
        if isPath {
            guard text.utf8.count > 1, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
                return nil
            }
            self.text = text
            return
        }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && !"/@,?#\\".utf8.contains($0) })
        else { return nil }
        let host: Substring
        let rest: Substring
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            (host, rest) = (text[...end], text[text.index(after: end)...])
            guard host.utf8.count > 2 else { return nil }
        } else {
            let end = text.firstIndex(of: ":") ?? text.endIndex
            (host, rest) = (text[..<end], text[end...])
        }
        guard !host.isEmpty else { return nil }
        if rest.isEmpty {
            self.text = "\(host):\(Self.standardPort)"
            return
        }
        guard rest.hasPrefix(":"), rest.dropFirst().utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
            let port = UInt16(rest.dropFirst()), port > 0
        else { return nil }
        self.text = "\(host):\(port)"
    }
}
