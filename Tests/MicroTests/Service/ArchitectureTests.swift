import Logging
import Testing

@testable import Micro

/// The program of the architecture document, with the register and the address of a test.
@Suite(.timeLimit(.minutes(10)))
struct ArchitectureTests {
    struct HelloRequest: Codable, Sendable { var name: String }
    struct HelloReply: Codable, Sendable { var message: String }

    @Test(arguments: Place.allCases)
    func theProgramRuns(place: Place) async throws {
        try await place.run {
            let log = LogJournal()
            var options = ServiceOptions()
            options.register = MemoryRegister()
            options.server.addresses = [place.address("greeter")]
            options.handlesSignals = false
            options.logger = log.logger

            let service = MicroService(name: "greeter", version: "1.0.0", options: options)
            service.handle("Greeter.Hello") { (request: HelloRequest, context) in
                HelloReply(message: "Hello, \(request.name)")
            }
            service.subscribe("greeter.events", group: "audit") { (event: HelloRequest, context) in
                context.logger.info("greeted", metadata: ["name": "\(event.name)"])
            }
            let program = Environment.current.spawn {
                do { try await service.run() } catch { Issue.record(error) }
            }

            let clock = Environment.current.clock
            while !service.readiness.isReady { try await clock.sleep(for: .milliseconds(1)) }
            let client = service.client
            let reply: HelloReply = try await client.call(
                "greeter", "Greeter.Hello", HelloRequest(name: "Ada"))
            #expect(reply.message == "Hello, Ada")
            try await service.broker.publish(HelloRequest(name: "Ada"), to: "greeter.events")
            while !log.contains("info: greeted", "name=Ada") {
                try await clock.sleep(for: .milliseconds(1))
            }
            #expect(log.contains("info: greeted", "service=greeter", "endpoint=greeter.events"))

            service.triggerShutdown()
            await program.wait()
            #expect(log.contains("info: stopped"))
        }
    }
}
