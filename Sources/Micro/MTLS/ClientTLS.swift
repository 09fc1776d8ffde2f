internal import Logging
internal import Synchronization

/// The TLS context of one client, which its loops share.
final class ClientTLS: Sendable {
    private let options: ClientTLSOptions?
    private let protocolName: String?
    private let environment: Environment
    private let logger: Logger
    private let state = Mutex(State())

    private struct State {
        var keeper: CertificateKeeper?
        /// Of a client without options: made when an address asks for it.
        var standard: TLSContext?
        var isClosed = false
    }

    /// - Parameter protocolName: What is agreed on by ALPN; "": what RPC speaks; nil: nothing.
    init(
        _ options: ClientTLSOptions?, protocolName: String? = "", environment: Environment,
        logger: Logger
    ) {
        self.options = options
        self.protocolName = protocolName
        self.environment = environment
        self.logger = logger
    }

    deinit { close() }

    /// Whether ``prepare()`` has something to do.
    var needsPreparation: Bool {
        options != nil && state.withLock { $0.keeper == nil && !$0.isClosed }
    }

    /// Reads what the options name. Before ``context()``.
    func prepare() async throws {
        guard let options, needsPreparation else { return }
        let rules = named(options.rules)
        let keeper = try await CertificateKeeper.open(
            rules, options.material, environment: environment, logger: logger)
        let isWanted = state.withLock { state in
            guard state.keeper == nil, !state.isClosed else { return false }
            state.keeper = keeper
            return true
        }
        if !isWanted { keeper.close() }
    }

    /// Without options: the authorities of the system, which are read when a certificate has to be
    /// verified.
    func context() throws(MicroError) -> TLSContext {
        let made = state.withLock { $0.keeper?.context ?? $0.standard }
        if let made { return made }
        guard options == nil else {
            throw MicroError("client", .unavailable, "the client is closed")
        }
        let context = try TLSContext(named(TLSRules(role: .client)), TLSMaterial())
        return state.withLock { state in
            let first = state.standard ?? context
            state.standard = first
            return first
        }
    }

    private func named(_ rules: TLSRules) -> TLSRules {
        var rules = rules
        rules.protocolName = protocolName ?? ""
        rules.isWithoutProtocol = protocolName == nil
        return rules
    }

    func reload() async throws {
        try await prepare()
        try await state.withLock({ $0.keeper })?.reload()
    }

    /// Files are not watched any more.
    func close() {
        let keeper = state.withLock { state in
            state.isClosed = true
            return state.keeper
        }
        keeper?.close()
    }
}
