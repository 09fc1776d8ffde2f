internal import ArgumentParser
internal import Logging
internal import Micro

/// `micro-interop server`
struct ServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "server",
        abstract: "Serves grpc.testing.TestService until SIGTERM or SIGINT.",
        discussion: "Prints \"listening on 127.0.0.1:PORT\" when it takes calls.")

    @Option(name: .long, help: "The port to listen on; 0 is any that is free.")
    var port: UInt16 = 0

    @Flag(name: .long, help: "Encrypt, with the certificate and its key.")
    var tls = false

    @Option(name: .long, help: "The file of the certificate, and of those that lead to its root.")
    var cert: String?

    @Option(name: .long, help: "The file of the certificate's private key.")
    var key: String?

    func validate() throws {
        guard tls == (cert != nil), tls == (key != nil) else {
            throw ValidationError("--tls, --cert and --key belong together")
        }
    }

    func run() async throws {
        var options = ServiceOptions()
        options.register = MemoryRegister()
        options.server.addresses = ["tcp://127.0.0.1:\(port)"]
        if let cert, let key {
            options.server.tls = ServerTLSOptions(certificate: .file(cert), key: .file(key))
        }
        options.drainDelay = .zero
        options.logger.logLevel = .warning
        let service = MicroService(name: "interop", options: options)
        service.serve(TestServer())
        service.afterStart {
            for address in service.addresses {
                printLine("listening on \(address.split(separator: "/").last ?? "")")
            }
        }
        try await service.run()
    }
}
