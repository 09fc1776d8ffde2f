import Synchronization
import Testing

@testable import Micro

/// Which calls are tried again, where, and when.
@Suite(.timeLimit(.minutes(10)))
struct RetryTests {
    @Test(arguments: [(-1, 1), (0, 1), (1, 1), (3, 3), (5, 5), (6, 5), (Int.max, 5), (Int.min, 1)])
    func attemptsAreOneToFive(asked: Int, given: Int) {
        #expect(RetryPolicy.unprocessed(attempts: asked).attempts == given)
        #expect(RetryPolicy.idempotent(attempts: asked).attempts == given)
        #expect(RetryPolicy.idempotent(attempts: asked).isIdempotent)
        #expect(!RetryPolicy.unprocessed(attempts: asked).isIdempotent)
        #expect(RetryPolicy.never == RetryPolicy.unprocessed(attempts: 1))
    }

    private func greeter(at address: String) -> MicroService {
        let service = makeService(at: address)
        service.handle(.hello) { request, context in Greeting(message: address) }
        return service
    }

    /// D-04: neither before the first attempt, nor before one on another node.
    @Test func theFirstAttemptIsAtOnceAndAnotherNodeToo() async throws {
        try await withSimulation {
            try await running(greeter(at: "memory://there")) {
                var retried = 0
                for _ in 0..<20 {
                    // A fresh one each time: a known one remembers who could not be reached.
                    let client = makeClient(at: "memory://gone", "memory://there")
                    let response = try await client.response(.hello, Hello(name: "Ada"))
                    #expect(response.report.node == "memory://there")
                    #expect(response.report.attempts == response.report.retriesUnwritten + 1)
                    retried += response.report.retriesUnwritten
                    await client.close()
                }
                #expect(retried > 0)
                #expect(virtualMilliseconds == 0)
            }
        }
    }

    @Test(arguments: [RetryPolicy.never, .unprocessed(attempts: 1), .idempotent(attempts: 1)])
    func neverIsNever(policy: RetryPolicy) async throws {
        try await withSimulation {
            let resolver = SwitchingResolver(first: ["memory://gone"], then: ["memory://there"])
            try await running(greeter(at: "memory://there")) {
                let client = Client(resolver: resolver)
                let error = try await microError {
                    _ = try await client.call(
                        .hello, Hello(name: "Ada"), options: CallOptions(retry: policy))
                }
                #expect(error.code == .unavailable)
                #expect(error.detail.contains("memory://gone"))
                #expect(error.detail.contains("1 attempt,"))
                #expect(error.id == "greeter/Greeter.Hello")
                #expect(error.metadata["node"] == "memory://gone")
                #expect(!error.wasWritten)
                #expect(error.isRetryable)
                #expect(resolver.refreshes == 0)
                await client.close()
            }
        }
    }

    /// Every node that was known has been replaced: the client asks again who is there.
    @Test(arguments: [2, 3, 5])
    func newNodesAreLookedUp(attempts: Int) async throws {
        try await withSimulation {
            let resolver = SwitchingResolver(
                first: ["memory://gone", "memory://gone-too"], then: ["memory://there"])
            try await running(greeter(at: "memory://there")) {
                let client = Client(resolver: resolver)
                let response = try await client.response(
                    .hello, Hello(name: "Ada"),
                    options: CallOptions(retry: .unprocessed(attempts: attempts)))
                #expect(response.reply.message == "memory://there")
                #expect(response.report.attempts <= attempts + 1)
                #expect(response.report.retriesUnwritten == response.report.attempts - 1)
                #expect(resolver.refreshes == 1)
                await client.close()
            }
        }
    }

    @Test func whoFindsNoNewNodesReportsTheOldOnes() async throws {
        try await withSimulation {
            let resolver = SwitchingResolver(first: ["memory://gone"], then: [])
            let client = Client(resolver: resolver)
            let error = try await microError {
                _ = try await client.call(.hello, Hello(name: "Ada"))
            }
            #expect(error.code == .unavailable)
            #expect(error.detail.contains("memory://gone"))
            #expect(resolver.refreshes == 1)
            await client.close()
        }
    }

    /// Two nodes; the first call that comes to either of them is held until its node goes away.
    private func withNodeThatDies(
        retry: RetryPolicy,
        _ body: @escaping @Sendable (Result<Response<Greeting>, any Error>, Int) -> Void
    ) async throws {
        try await withSimulation {
            let calls = Tally()
            let taken = Journal<Int>()
            let servers = (0..<2).map { number in
                let server = Server(
                    name: "greeter", options: ServerOptions(addresses: ["memory://\(number)"]))
                server.handle(.hello) { (request: Hello, context) async throws -> Greeting in
                    calls.add()
                    taken.write(number)
                    if calls.value == 1 { try await context.clock.sleep(for: .seconds(3600)) }
                    return Greeting(message: "\(number)")
                }
                return server
            }
            for server in servers { try await server.start() }
            let client = makeClient(at: "memory://0", "memory://1")
            let result = Journal<Result<Response<Greeting>, any Error>>()
            let caller = Environment.current.spawn {
                do {
                    result.write(
                        .success(
                            try await client.response(
                                .hello, Hello(name: "Ada"), options: CallOptions(retry: retry))))
                } catch {
                    result.write(.failure(error))
                }
            }
            try await Environment.current.clock.sleep(for: .milliseconds(100))
            let first = try #require(taken.entries.first)
            #expect(try await servers[first].drain(grace: .zero) == 1)
            await caller.wait()
            body(try #require(result.entries.first), calls.value)
            await client.close()
            for server in servers { try await server.drain(grace: .zero) }
        }
    }

    @Test func whatMayHaveBeenProcessedIsNotSentTwice() async throws {
        try await withNodeThatDies(retry: .unprocessed(attempts: 5)) { result, calls in
            #expect(calls == 1)
            let error = #expect(throws: MicroError.self) { _ = try result.get() }
            #expect(error?.code == .unavailable)
            #expect(error?.wasWritten == true)
            #expect(error?.isRetryable == false)
        }
    }

    @Test func whatIsIdempotentIsSentTwice() async throws {
        try await withNodeThatDies(retry: .idempotent(attempts: 2)) { result, calls in
            #expect(calls == 2)
            let response = try? result.get()
            #expect(response?.report.attempts == 2)
            #expect(response?.report.retriesIdempotent == 1)
            #expect(response?.report.retriesUnwritten == 0)
        }
    }

    @Test func anErrorOfTheServiceIsAnAnswer() async throws {
        try await withSimulation {
            let calls = Tally()
            let service = makeService()
            service.handle("Refuse") { (_: Empty, context) -> Empty in
                calls.add()
                throw MicroError("refuse", .internal, "no")
            }
            try await running(service) {
                for policy in [RetryPolicy.unprocessed(attempts: 5), .idempotent(attempts: 5)] {
                    let error = try await microError {
                        _ = try await service.client.call(
                            "greeter", "Refuse", Empty(), as: Empty.self,
                            options: CallOptions(retry: policy))
                    }
                    #expect(error.code == .internal)
                }
                #expect(calls.value == 2)
            }
        }
    }

    @Test func anAttemptMayHaveATimeoutOfItsOwn() async throws {
        try await withSimulation {
            let calls = Tally()
            let services = (0..<2).map { number in
                let service = makeService(at: "memory://\(number)")
                service.handle(.hello) { (request: Hello, context) async throws -> Greeting in
                    calls.add()
                    if calls.value == 1 { try await context.clock.sleep(for: .seconds(3600)) }
                    return Greeting(message: "\(number)")
                }
                return service
            }
            try await running(services[0], services[1]) {
                let client = makeClient(at: "memory://0", "memory://1")
                let response = try await client.response(
                    .hello, Hello(name: "Ada"),
                    options: CallOptions(
                        attemptTimeout: .milliseconds(200), retry: .idempotent(attempts: 2)))
                #expect(response.report.attempts == 2)
                #expect(virtualMilliseconds == 200)
                await client.close()
            }
        }
    }

    // MARK: Waiting for a node

    @Test func whoWaitsIsServedWhenANodeComes() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let log = LogJournal()
            let caller = makeService("caller", in: register, log: log)
            let greeter = makeService(in: register)
            greeter.handle(.hello) { request, context in Greeting(message: request.name) }
            try await running(caller) {
                let environment = Environment.current
                let starter = environment.spawn {
                    try? await environment.clock.sleep(for: .seconds(3))
                    do { try await greeter.start() } catch { Issue.record(error) }
                }
                let reply = try await caller.client.call(
                    .hello, Hello(name: "Ada"),
                    options: CallOptions(timeout: .seconds(10), waitsForReady: true))
                #expect(reply.message == "Ada")
                #expect((3000...3100).contains(virtualMilliseconds))
                await starter.wait()
                try await greeter.stop()
            }
        }
    }

    /// All nodes that were known are dead, and another one comes while the call waits.
    @Test func whoWaitsIsServedByANodeThatReplacesTheOldOne() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            try await register.register(
                ServiceNode(
                    id: "dead", service: "greeter", version: "1.0.0",
                    addresses: ["memory://gone"]), ttl: .seconds(3600))
            let caller = makeService("caller", in: register)
            let greeter = makeService(in: register)
            greeter.handle(.hello) { request, context in Greeting(message: request.name) }
            try await running(caller) {
                let environment = Environment.current
                let starter = environment.spawn {
                    try? await environment.clock.sleep(for: .seconds(3))
                    do { try await greeter.start() } catch { Issue.record(error) }
                }
                let reply = try await caller.client.call(
                    .hello, Hello(name: "Ada"),
                    options: CallOptions(timeout: .seconds(10), waitsForReady: true))
                #expect(reply.message == "Ada")
                #expect(virtualMilliseconds < 4000)
                await starter.wait()
                try await greeter.stop()
            }
        }
    }

    @Test func whoWaitsInVainIsToldInTime() async throws {
        try await withSimulation {
            let caller = makeService("caller")
            try await running(caller) {
                let error = try await microError {
                    _ = try await caller.client.call(
                        .hello, Hello(name: "Ada"),
                        options: CallOptions(timeout: .seconds(7), waitsForReady: true))
                }
                #expect(error.code == .deadlineExceeded)
                #expect(!error.wasWritten)
                #expect(virtualMilliseconds == 7000)
            }
        }
    }

    @Test func whoDoesNotWaitIsToldAtOnce() async throws {
        try await withSimulation {
            let caller = makeService("caller")
            try await running(caller) {
                let error = try await microError {
                    _ = try await caller.client.call(.hello, Hello(name: "Ada"))
                }
                #expect(error.code == .notFound)
                #expect(virtualMilliseconds == 0)
            }
        }
    }

    // MARK: A register that does not answer

    /// The deadline holds for the search too.
    @Test func aSearchThatHangsEndsWithTheDeadline() async throws {
        try await withSimulation {
            let client = Client(resolver: HangingResolver())
            let error = try await microError {
                _ = try await client.call(
                    .hello, Hello(name: "Ada"), options: CallOptions(timeout: .seconds(2)))
            }
            #expect(error.code == .deadlineExceeded)
            #expect(error.detail.contains("finding the nodes of greeter"))
            #expect(virtualMilliseconds == 2000)
            let caller = Environment.current.spawn {
                let error = try? await microError {
                    _ = try await client.call(.hello, Hello(name: "Ada"))
                }
                #expect(error?.code == .cancelled)
            }
            try await Environment.current.clock.sleep(for: .seconds(1))
            caller.cancel()
            await caller.wait()
            #expect(virtualMilliseconds == 3000)
            await client.close()
        }
    }
}

/// Knows other nodes once it was asked again.
private final class SwitchingResolver: Resolver {
    private let resolutions: [Resolution]
    private let count = Mutex(0)

    var refreshes: Int { count.withLock { $0 } }

    init(first: [String], then second: [String]) {
        resolutions = [first, second].enumerated().map { index, addresses in
            Resolution(
                service: "greeter",
                nodes: addresses.map { ResolvedNode(id: $0, addresses: [$0]) },
                revision: addresses.isEmpty ? 1 : UInt64(index + 1))
        }
    }

    func resolve(_ service: String) async throws -> Resolution {
        let now = resolutions[min(refreshes, 1)]
        return now.nodes.isEmpty ? resolutions[0] : now
    }

    func updates(for service: String) -> ResolverUpdates {
        let (updates, source) = ResolverUpdates.make()
        source.send(resolutions[0])
        return updates
    }

    func refresh(_ service: String) async throws -> Resolution {
        count.withLock { $0 += 1 }
        return try await resolve(service)
    }

    func close() async {}
}

/// Asks somebody who never answers.
private struct HangingResolver: Resolver {
    func resolve(_ service: String) async throws -> Resolution {
        try await Environment.current.clock.sleep(for: .seconds(86_400))
        throw CancellationError()
    }
    func updates(for service: String) -> ResolverUpdates { ResolverUpdates.make().updates }
    func refresh(_ service: String) async throws -> Resolution { try await resolve(service) }
    func close() async {}
}
