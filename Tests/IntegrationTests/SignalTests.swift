import Foundation
import Logging
import Micro
import Synchronization
import Testing

extension EndToEnd {
    /// How a service ends. The service is the quickstart's front door: its calls are in flight for
    /// as long as a greeter in this process holds them.
    @Suite struct SignalTests {
        private static let ada = #"{"name":"Ada"}"#

        @Test(arguments: [SIGTERM, SIGINT])
        func aCallInFlightIsAnswered(_ signal: Int32) async throws {
            try await withHeldCall { frontDoor, address, register, greeter, call in
                frontDoor.send(signal)
                // It leaves the register before it refuses connections.
                try await until("the front door takes no connections") {
                    await !canConnect(to: address)
                }
                #expect(try await register.lookup("frontdoor").isEmpty)
                #expect(frontDoor.isRunning)
                greeter.letGo()
                let answer = try await call.value
                #expect(answer.status == 200)
                #expect(answer.body == #"{"message":"Hello at last, Ada"}"#)
                let result = try await frontDoor.end()
                #expect(result.exit == .code(0), "\(result.errors)")
                #expect(result.errors.contains(" stopped"))
            }
        }

        @Test func theSecondSignalEndsAtOnce() async throws {
            try await withHeldCall { frontDoor, _, register, greeter, call in
                frontDoor.send(SIGTERM)
                _ = try await frontDoor.log(with: " ending")
                #expect(frontDoor.isRunning)
                frontDoor.send(SIGTERM)
                // The call is held all the time, and would be waited for.
                let result = try await frontDoor.end(within: .seconds(8))
                #expect(result.exit == .code(128 + SIGTERM))
                await #expect(throws: TestFailure.self) { try await call.value }
                greeter.letGo()
                #expect(try await register.lookup("frontdoor").isEmpty)
            }
        }

        /// A signal before `run()` has taken charge has its default action: the process ends, with
        /// 128 + n in a shell. From then on the exit is in order, with 0. There is nothing between.
        @Test func aSignalAtAnyMomentOfTheStart() async throws {
            let machine = try Machine()
            var random = SystemRandomNumberGenerator()
            for _ in 0..<10 {
                // Three at a time, so that starts are disturbed too.
                let delays = (0..<3).map { _ in Int.random(in: 0..<120, using: &random) }
                let results = try await withThrowingTaskGroup(of: (Int, Program.Result).self) {
                    group in
                    for delay in delays {
                        group.addTask {
                            let greeter = try machine.start("greeter")
                            try await Task.sleep(for: .milliseconds(delay))
                            greeter.send(SIGTERM)
                            return (delay, try await greeter.end(within: .seconds(20)))
                        }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                for (delay, result) in results {
                    #expect(
                        [.code(0), .signal(SIGTERM)].contains(result.exit),
                        "after \(delay) ms: \(result.exit): \(result.errors)")
                    // It was in charge: then there is no other end than the ordered one.
                    if result.errors.contains(" ending") {
                        #expect(result.exit == .code(0), "after \(delay) ms: \(result.errors)")
                    }
                }
            }
            // None of them left itself in the register.
            let register = LocalRegister(path: machine.registerPath)
            #expect(try await register.lookup("greeter").isEmpty)
            await register.close()
        }

        // MARK: Support

        /// Starts a front door with a call in flight.
        private func withHeldCall(
            _ body: (
                _ frontDoor: Program, _ address: String, _ register: LocalRegister,
                _ greeter: HoldingGreeter, _ call: Task<CurlAnswer, any Error>
            ) async throws -> Void
        ) async throws {
            let machine = try Machine()
            let register = LocalRegister(path: machine.registerPath)
            let greeter = HoldingGreeter(register)
            try await greeter.service.start()
            let (frontDoor, address) = try await machine.serve("frontdoor")
            let call = Task {
                try await curl(
                    "--json", Self.ada, "-H", "micro-timeout: 60000m",
                    "http://\(address)/frontdoor/Front.Hello")
            }
            try await until("the call is in flight") { greeter.isHolding }
            try await body(frontDoor, address, register, greeter, call)
            try await greeter.service.stop()
            await register.close()
        }

        private func canConnect(to address: String) async -> Bool {
            let result = try? await Program.run(
                "curl", ["-s", "-o", "/dev/null", "http://\(address)/nothing"])
            return result?.exit == .code(0)
        }
    }
}

/// A greeter that answers only when it is told to.
private final class HoldingGreeter: Sendable {
    struct Request: Codable, Sendable { var name: String }
    struct Reply: Codable, Sendable { var message: String }

    final class Gate: Sendable {
        let isOpen = Atomic<Bool>(false)
        let isWaited = Atomic<Bool>(false)
    }

    let service: MicroService
    private let gate = Gate()

    init(_ register: LocalRegister) {
        var options = ServiceOptions()
        options.register = register
        options.server.addresses = ["127.0.0.1:0"]
        options.drainDelay = .zero
        options.handlesSignals = false
        options.logger.logLevel = .critical
        service = MicroService(name: "greeter", version: "1", options: options)
        let gate = gate
        service.handle("Greeter.Hello") { (request: Request, context) async throws -> Reply in
            gate.isWaited.store(true, ordering: .relaxed)
            while !gate.isOpen.load(ordering: .relaxed) {
                try await context.clock.sleep(for: .milliseconds(2))
            }
            return Reply(message: "Hello at last, \(request.name)")
        }
    }

    var isHolding: Bool { gate.isWaited.load(ordering: .relaxed) }

    func letGo() { gate.isOpen.store(true, ordering: .relaxed) }
}
