internal import CMicroCore

/// An address of a node: "tcp://127.0.0.1:4711", "tls://db.example:4711", "unix:///run/x.sock",
/// "memory://name", and with a plugin "shm://name" or, with TLS over it, "tls+shm://name".
struct TransportAddress: Sendable, Hashable, CustomStringConvertible {
    let scheme: String
    let rest: String

    /// - Parameter standard: The scheme of an address without one.
    init(_ text: String, standard: String = TransportScheme.tcp) {
        if let split = text.firstRange(of: "://") {
            scheme = String(text[..<split.lowerBound])
            rest = String(text[split.upperBound...])
        } else {
            scheme = standard
            rest = text
        }
    }

    init(scheme: String, rest: String) {
        self.scheme = scheme
        self.rest = rest
    }

    var description: String { "\(scheme)://\(rest)" }

    /// The same with TLS over it.
    var encrypted: TransportAddress {
        TransportAddress(scheme: TransportScheme.encrypted(scheme), rest: rest)
    }
}

/// Names of transports, as they stand in addresses.
enum TransportScheme {
    static let tcp = "tcp"
    static let builtIn = ["tcp", "tls", "unix", "memory"]

    /// The scheme of TLS over `scheme`.
    static func encrypted(_ scheme: String) -> String {
        scheme == tcp ? "tls" : "tls+\(scheme)"
    }

    /// What lies below TLS; nil: there is none in it.
    static func below(_ scheme: String) -> String? {
        if scheme == "tls" { return tcp }
        return scheme.hasPrefix("tls+") ? String(scheme.dropFirst(4)) : nil
    }
}

extension CoreStatus {
    /// Why a transport could not be created, listen or connect just now on this thread, with what a
    /// plugin had to say about it.
    var textWithLastWords: String {
        let (_, said) = withDetail {
            mcore_transport_last_words($0, $1)
            return 0
        }
        return said.isEmpty ? text : "\(text): \(said)"
    }
}

/// The transports that a server or a client can use: those that are built in, and its plugins,
/// which win over them.
struct Transports: Sendable {
    let plugins: [TransportPlugin]

    init(_ plugins: [TransportPlugin] = []) { self.plugins = plugins }

    /// - Parameter environment: A simulated process has a network of its own.
    init(_ plugins: [TransportPlugin], in environment: Environment) {
        self.init(plugins + (environment.process?.transports ?? []))
    }

    /// What can't be loaded, each named. Loads what was not yet; blocks on files.
    var problems: [String] { plugins.compactMap { $0.source.problem } }

    /// The scheme of addresses without one.
    var standard: String { plugins.first?.source.scheme ?? TransportScheme.tcp }

    /// Every scheme that can be used, without those of TLS over another.
    var schemes: [String] {
        var schemes = TransportScheme.builtIn
        for scheme in plugins.compactMap(\.source.scheme) where !schemes.contains(scheme) {
            schemes.append(scheme)
        }
        return schemes
    }

    func address(_ text: String) -> TransportAddress { TransportAddress(text, standard: standard) }

    private func plugin(_ scheme: String) -> TransportSource? {
        plugins.lazy.map(\.source).first { $0.scheme == scheme }
    }

    /// Whether addresses of the scheme can be used.
    func carries(_ scheme: String) -> Bool {
        let below = TransportScheme.below(scheme) ?? scheme
        return TransportScheme.builtIn.contains(scheme) || plugin(below) != nil
    }

    /// Whether TLS can lie over it, because there is none in it.
    func canBeEncrypted(_ scheme: String) -> Bool {
        plugin(scheme) != nil ? !isSecure(scheme) : scheme == TransportScheme.tcp
    }

    /// Whether connections are encrypted by the transport itself.
    func isSecure(_ scheme: String) -> Bool { plugin(scheme)?.isSecure ?? false }

    /// What is wrong with the scheme of an address; nil: it is known.
    func problem(with address: TransportAddress) -> String? {
        guard !carries(address.scheme) else { return nil }
        return "\(address): unknown scheme \"\(address.scheme)\", known: "
            + schemes.joined(separator: ", ")
    }

    /// The table of the transport that serves the scheme of `address`. It is valid as long as this
    /// and `tls` are.
    ///
    /// - Parameter tls: For addresses with TLS.
    func table(
        for address: TransportAddress, tls: TLSContext? = nil
    ) throws(MicroError) -> UnsafePointer<mcore_transport_plugin> {
        if let problem = problem(with: address) {
            throw MicroError.invalid("transport", problem, at: "address")
        }
        guard let below = TransportScheme.below(address.scheme) else {
            return try plain(address.scheme)
        }
        guard let tls else {
            throw MicroError.invalid(
                "transport", "\(address): there are no certificates for TLS", at: "address")
        }
        return try tls.transport(over: plain(below))
    }

    private func plain(
        _ scheme: String
    ) throws(MicroError) -> UnsafePointer<mcore_transport_plugin> {
        if let plugin = plugin(scheme) { return try plugin.table() }
        return switch scheme {
        case "unix": mcore_transport_unix()
        case "memory": mcore_transport_memory()
        default: mcore_transport_tcp()
        }
    }
}
