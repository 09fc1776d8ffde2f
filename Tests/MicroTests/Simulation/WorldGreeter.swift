import Logging
import MicroTesting
import Synchronization
import Testing

@testable import Micro

extension ServiceOptions {
    /// All defaults, and no log.
    static var quiet: ServiceOptions {
        var options = ServiceOptions()
        options.logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        return options
    }

    /// Where nothing but the budget keeps retries from multiplying.
    static var withoutBreaker: ServiceOptions {
        var options = ServiceOptions.quiet
        options.client.breaker = .off
        return options
    }
}

/// What was executed where: the truth that no client sees.
final class Executions: Sendable {
    private let state = Mutex([Int: [String]]())

    func note(_ call: Int, at node: String) {
        state.withLock { $0[call, default: []].append(node) }
    }

    /// How often the handler of a call began.
    func count(_ call: Int) -> Int { state.withLock { $0[call]?.count ?? 0 } }
    var total: Int { state.withLock { $0.values.reduce(0) { $0 + $1.count } } }
    func count(at node: String) -> Int {
        state.withLock { $0.values.reduce(0) { $0 + $1.count { $0 == node } } }
    }
}

/// A call of the greeter's "Greeter.Work".
struct Work: Codable, Sendable {
    var id: Int
    var milliseconds: Int
}

/// A service as a program makes it: nothing in it knows of the simulation.
@Sendable func makeGreeter() -> MicroService { makeGreeter(Executions()) }

func makeGreeter(
    _ executions: Executions, _ configure: (inout ServiceOptions) -> Void = { _ in }
) -> MicroService {
    var options = ServiceOptions.quiet
    configure(&options)
    let service = MicroService(name: "greeter", version: "1.0.0", options: options)
    let id = service.nodeID
    service.handle("Greeter.Hello") { (hello: Hello, context) in
        Greeting(message: "Hello, \(hello.name)")
    }
    service.handle("Greeter.Work") { (work: Work, context) -> String in
        executions.note(work.id, at: id)
        if work.milliseconds > 0 {
            try await context.clock.sleep(for: .milliseconds(work.milliseconds))
        }
        return id
    }
    return service
}

extension Client {
    func hello() async throws -> String {
        let reply: Greeting = try await call("greeter", "Greeter.Hello", Hello(name: "Ada"))
        return reply.message
    }

    /// - Returns: The id of the node that answered.
    func work(
        _ id: Int = 0, milliseconds: Int = 0, options: CallOptions = CallOptions()
    ) async throws -> String {
        try await call(
            "greeter", "Greeter.Work", Work(id: id, milliseconds: milliseconds), options: options)
    }
}

extension CallOptions {
    static func idempotent(timeout: Duration = .seconds(5), attempts: Int = 3) -> CallOptions {
        CallOptions(timeout: timeout, retry: .idempotent(attempts: attempts))
    }
}
