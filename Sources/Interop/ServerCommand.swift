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

    func run() async throws {
        var options = ServiceOptions()
        options.register = MemoryRegister()
        options.server.addresses = ["tcp://127.0.0.1:\(port)"]
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
