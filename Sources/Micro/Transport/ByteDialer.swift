package import Logging

/// Opens connections of bytes for engines that speak a protocol of their own, with one TLS context
/// for all of them.
package final class ByteDialer: Sendable {
    /// Where connections live.
    package let environment: Environment
    private let options: ByteConnectionOptions
    private let transports: Transports
    private let tls: ClientTLS

    /// - Parameters:
    ///   - tls: For addresses with TLS; nil: the authorities of the system.
    ///   - transports: Plugins beside those that are built in.
    package init(
        options: ByteConnectionOptions = ByteConnectionOptions(), tls: ClientTLSOptions? = nil,
        transports: [TransportPlugin] = [], environment: Environment, logger: Logger
    ) {
        self.environment = environment
        self.options = options
        self.transports = Transports(transports, in: environment)
        self.tls = ClientTLS(tls, protocolName: nil, environment: environment, logger: logger)
    }

    /// Begins to connect to "tcp://host:port", "tls://host:port", "unix:///path" or what a plugin
    /// takes.
    ///
    /// - Throws: ``MicroError`` when certificates can't be read. All else the observer is told.
    package func open(
        _ address: String, observer: any ByteConnectionObserver
    ) async throws -> ByteConnection {
        let address = transports.address(address)
        var context: TLSContext?
        if TransportScheme.below(address.scheme) != nil {
            try await tls.prepare()
            context = try tls.context()
        }
        let loop = environment.loops.preferred
        let connection = ByteConnection(
            to: address, tls: context, transports: transports, options: options, on: loop,
            observer: observer)
        guard loop.execute({ connection.dial() }) else {
            throw MicroError("transport", .unavailable, "the event loop has ended")
        }
        return connection
    }

    /// Certificates are not watched any more. Connections go on.
    package func close() { tls.close() }
}
