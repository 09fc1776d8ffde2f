public import Micro

/// Where etcd is, and how it is talked to.
public struct EtcdOptions: Sendable {
    /// Its members, each "host" or "host:port"; the port is 2379 when there is none. Calls go to
    /// all of them, and to the others when one is gone.
    public var endpoints: [String]
    /// Whom to trust and what to show, for etcd behind TLS. Default: nil, no TLS.
    public var tls: ClientTLSOptions?
    /// Who calls, when etcd asks for that; empty: nobody in particular.
    public var user = ""
    /// The password of the user. It is sent to etcd alone, and shown nowhere.
    public var password = ""
    /// What every key begins with: the client sees no key outside of it, and neither writes nor
    /// reads the prefix itself. Default: nothing.
    public var keyPrefix = ""
    /// How long a call may take in all, and the opening of a stream. Default 5 s.
    public var timeout: Duration = .seconds(5)
    /// The largest answer, in bytes. Default 16 MiB.
    public var maxMessageBytes = 16 << 20
    /// A ping is sent when an answer or a change is waited for and nothing has come for so long. At
    /// least 5 s, or etcd hangs up. Default 10 s.
    public var keepaliveInterval: Duration = .seconds(10)
    /// A connection that does not answer the ping in time is dead. Default 5 s.
    public var keepaliveTimeout: Duration = .seconds(5)
    /// The longest pause between attempts to reach a member. Default 3 s.
    public var reconnectMax: Duration = .seconds(3)

    /// - Parameters:
    ///   - endpoints: Its members.
    ///   - tls: Whom to trust and what to show; nil: no TLS.
    public init(
        endpoints: [String] = ["127.0.0.1:2379"], tls: ClientTLSOptions? = nil
    ) {
        self.endpoints = endpoints
        self.tls = tls
    }

    /// What can't be used, each named. The client says the rest.
    var problems: [String] {
        var problems: [String] = []
        if endpoints.isEmpty { problems.append("etcd options: there is no endpoint") }
        if endpoints.count > Self.endpointsMax {
            problems.append(
                "etcd options: there are \(endpoints.count) endpoints: more than "
                    + "\(Self.endpointsMax)")
        }
        for endpoint in endpoints where EtcdEndpoint(endpoint) == nil {
            problems.append(
                "etcd options: \(RegisterName.excerpt(endpoint)) is not an endpoint: write "
                    + "\"host:2379\"")
        }
        if user.isEmpty != password.isEmpty {
            problems.append(
                "etcd options: a \(user.isEmpty ? "password" : "user") without a "
                    + (user.isEmpty ? "user" : "password"))
        }
        if keyPrefix.utf8.count > 1024 {
            problems.append("etcd options: keyPrefix has \(keyPrefix.utf8.count) bytes: over 1,024")
        }
        if keepaliveInterval != .zero, keepaliveInterval < .seconds(5) {
            problems.append(
                "etcd options: keepaliveInterval is \(keepaliveInterval): etcd takes pings every "
                    + "5 s at most")
        }
        return problems
    }

    private static let endpointsMax = 64

    /// "tcp://host:2379".
    var addresses: [String] {
        let scheme = tls == nil ? "tcp" : "tls"
        return endpoints.compactMap { EtcdEndpoint($0).map { "\(scheme)://\($0.text)" } }
    }

    /// For people: "etcd at 10.0.0.1:2379,10.0.0.2:2379".
    var place: String {
        "etcd at " + endpoints.map { EtcdEndpoint($0)?.text ?? $0 }.joined(separator: ",")
    }

    var clientOptions: ClientOptions {
        var options = ClientOptions(tls: tls)
        options.timeout = timeout
        options.maxMessageBytes = maxMessageBytes
        options.connectTimeout = min(timeout, .seconds(3))
        options.keepaliveInterval = keepaliveInterval
        options.keepaliveTimeout = keepaliveTimeout
        options.reconnectMin = min(.milliseconds(100), reconnectMax)
        options.reconnectMax = reconnectMax
        return options
    }
}

/// "host", "host:port", "[::1]:port".
struct EtcdEndpoint: Hashable {
    static let standardPort: UInt16 = 2379

    /// With its port.
    let text: String

    /// nil when it is none.
    init?(_ text: String) {
        guard !text.isEmpty, text.utf8.count <= 300,
            text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && !"/@,?#\\".utf8.contains($0) })
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
        guard rest.hasPrefix(":"), let port = UInt16(rest.dropFirst()), port > 0 else { return nil }
        self.text = "\(host):\(port)"
    }
}
