import ArgumentParser
import Micro
import MicroProtobuf

/// Serves `echo.Echo` until SIGTERM, when it prints "loops N...": the calls of each event loop.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve echo.Echo; prints \"ready PORT\".")

    @Option(help: "0: a free one.")
    var port = 0
    @Option(help: "Where to listen.")
    var address = "127.0.0.1"
    @Option
    var codec = MessageCodec.protobuf
    @Option(help: "How the handler of Unary runs.")
    var handler = HandlerKind.async
    @Option(help: "Event loops that carry connections.")
    var loops = 1
    @Option(parsing: .upToNextOption, help: "A certificate and its key: serve TLS.")
    var tls: [String] = []
    @Option(help: "CPU time that the handler \"busy\" takes, in microseconds.")
    var busyUs = 200
    @Option(help: "CPU time that the handler of Heavy takes, in microseconds.")
    var heavyUs = 20_000

    func validate() throws {
        guard tls.isEmpty || tls.count == 2 else {
            throw ValidationError("--tls takes the file of a certificate and that of its key")
        }
    }

    func run() async throws {
        let environment = Environment(loops: try EventLoops(count: loops))
        try await environment.bind {
            let service = MicroService(name: "echo", options: serviceOptions)
            addEndpoints(to: service)
            service.afterStart {
                for address in service.addresses {
                    if let port = address.split(separator: ":").last { say("ready \(port)") }
                }
            }
            service.beforeStop {
                let calls = service.statistics.callsTotalByLoop.map(String.init)
                say("loops \(calls.joined(separator: " "))")
            }
            try await service.run()
        }
    }

    private var serviceOptions: ServiceOptions {
        var options = ServiceOptions()
        options.server.addresses = ["\(tls.isEmpty ? "tcp" : "tls")://\(address):\(port)"]
        if tls.count == 2 {
            options.server.tls = ServerTLSOptions(certificate: .file(tls[0]), key: .file(tls[1]))
        }
        options.server.maxConnectionsPerLoop = 20_000
        options.register = MemoryRegister()
        options.drainDelay = .zero
        options.gracePeriod = .seconds(1)
        options.logger.logLevel = .error
        return options
    }

    private func addEndpoints(to service: MicroService) {
        switch codec {
        case .bytes: add(CodableCoding<[UInt8]>(service.codecs), to: service)
        case .json: add(CodableCoding<PlainNote>(service.codecs), to: service)
        case .protobuf:
            add(ProtobufCoding<Echo_Note>(), to: service)
            addList(to: service)
        }
    }

    private func add<Coding: MessageReading & MessageWriting>(
        _ coding: Coding, to service: MicroService
    ) {
        let busy = Spinning(microseconds: busyUs)
        let heavy = Spinning(microseconds: heavyUs)
        switch handler {
        case .direct:
            service.serve(
                .synchronous("echo.Echo/Unary", reading: coding, writing: coding) { note, _ in note
                }
            )
        case .async:
            service.serve(
                .asynchronous("echo.Echo/Unary", reading: coding, writing: coding) { note, _ in
                    note
                })
        case .suspend:
            service.serve(
                .asynchronous("echo.Echo/Unary", reading: coding, writing: coding) { note, _ in
                    await Task.yield()
                    return note
                })
        case .busy:
            service.serve(
                .asynchronous("echo.Echo/Unary", reading: coding, writing: coding) { note, _ in
                    busy.spin()
                    return note
                })
        }
        service.serve(
            .asynchronous("echo.Echo/Heavy", reading: coding, writing: coding) { note, _ in
                heavy.spin()
                return note
            })
        service.serve(
            .exchange("echo.Echo/Chat", reading: coding, writing: coding) { notes, _, out in
                for try await note in notes { try await out.send(note) }
            })
    }

    private func addList(to service: MicroService) {
        service.stream("echo.Echo/List") { (request: Echo_Note, _, out: Outbound<Echo_Note>) in
            for _ in 0..<request.id { try await out.send(request) }
        }
    }
}

/// How a handler runs.
enum HandlerKind: String, ExpressibleByArgument, CaseIterable {
    /// In place, on the loop.
    case direct
    /// A task that does not suspend.
    case async
    /// A task that suspends once.
    case suspend
    /// A task that computes for a while.
    case busy
}
