public import Logging
internal import Synchronization

/// Message sockets on the event loops, over every transport of the core.
///
/// A dialled socket lives on the loop of the task that dials, a listener and its sockets on the
/// next loop in turn. In a simulation, "memory://" addresses and virtual time make a run the same
/// each time. The format on the wire is described in docs/architecture.md.
public struct SocketTransport: Transport {
    private let state: SocketTransportState

    /// - Parameters:
    ///   - options: Limits and TLS. What is wrong with them is said when the transport is used.
    ///   - environment: Whose loops carry the sockets.
    ///   - logger: Told of certificates that were read again, and of peers that were turned away.
    public init(
        options: SocketTransportOptions = SocketTransportOptions(),
        environment: Environment = .current, logger: Logger = Logger(label: "micro.transport")
    ) {
        state = SocketTransportState(options, environment, logger)
    }

    /// Connects to a listener. See ``Transport/dial(_:timeout:)``.
    public func dial(_ address: String, timeout: Duration) async throws -> any TransportSocket {
        try await state.check()
        guard timeout >= .milliseconds(1) else {
            throw SocketTransportOptions.invalid(
                "timeout is \(timeout): it must be 1 ms or longer", at: "timeout")
        }
        let address = try state.options.checked(address)
        let isEncrypted = TransportScheme.below(address.scheme) != nil
        let tls = isEncrypted ? try await state.clientContext() : nil
        let messenger = try await state.messenger(
            for: address, elseOn: state.environment.loops.preferred)
        return try await SocketPipe.dial(address, on: messenger, tls: tls, timeout: timeout)
    }

    /// Listens. See ``Transport/listen(_:)``.
    public func listen(_ address: String) async throws -> any TransportListener {
        try await state.check()
        let address = try state.options.listener(address)
        let isEncrypted = TransportScheme.below(address.scheme) != nil
        let certificates = isEncrypted ? try await state.openCertificates() : nil
        let messenger = try await state.messenger(
            for: address, elseOn: state.environment.loops.next)
        return try await SocketListener.open(
            address, on: messenger, certificates: certificates,
            unacceptedMax: state.options.maxUnaccepted)
    }
}

/// What the copies of a transport share.
private final class SocketTransportState: Sendable {
    let options: SocketTransportOptions
    let environment: Environment
    private let logger: Logger
    private let clientTLS: ClientTLS
    /// By the numbers of their loops.
    private let messengers = Mutex<[Int: LoopMessenger]>([:])
    private let isGood = Atomic<Bool>(false)
    private let certificates = Mutex<CertificateKeeper?>(nil)

    /// What both sides agree on by ALPN.
    private static let protocolName = "micro-message"

    init(_ options: SocketTransportOptions, _ environment: Environment, _ logger: Logger) {
        self.options = options
        self.environment = environment
        self.logger = logger
        clientTLS = ClientTLS(
            options.clientTLS, protocolName: Self.protocolName, environment: environment,
            logger: logger)
    }

    /// Loads plugins that are not loaded yet.
    func check() async throws {
        if isGood.load(ordering: .acquiring) { return }
        let problems = try await environment.offload { [options] in options.problems }
        guard problems.isEmpty else {
            throw SocketTransportOptions.invalid(
                problems.joined(separator: "; "), at: "options")
        }
        isGood.store(true, ordering: .releasing)
    }

    func messenger(
        for address: TransportAddress, elseOn loop: EventLoop
    ) async throws -> LoopMessenger {
        // The ends of a memory transport find each other on one loop only.
        guard address.scheme == "memory", let first = environment.loops.workers.first else {
            return try await messenger(on: loop)
        }
        return try await messenger(on: first)
    }

    private func messenger(on loop: EventLoop) async throws -> LoopMessenger {
        if let known = messengers.withLock({ $0[loop.index] }) { return known }
        let made = try await LoopMessenger.create(
            on: loop, limits: options.limits,
            transports: Transports(options.transports, in: environment))
        return messengers.withLock { messengers in
            let first = messengers[loop.index] ?? made
            messengers[loop.index] = first
            return first
        }
    }

    func clientContext() async throws -> TLSContext {
        try await clientTLS.prepare()
        return try clientTLS.context()
    }

    func openCertificates() async throws -> CertificateKeeper? {
        guard let tls = options.serverTLS else { return nil }
        if let known = certificates.withLock({ $0 }) { return known }
        var rules = tls.rules
        rules.protocolName = Self.protocolName
        let opened = try await CertificateKeeper.open(
            rules, tls.material, environment: environment, logger: logger)
        return certificates.withLock { certificates in
            let first = certificates ?? opened
            certificates = first
            return first
        }
    }
}
