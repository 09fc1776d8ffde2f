import Testing

@testable import Micro

/// What a service says of its end, in virtual time.
@Suite(.timeLimit(.minutes(10)))
struct DrainReportTests {
    private func slow(_ service: MicroService) {
        service.handle("Slow") { (milliseconds: Int, context) -> Int in
            try await context.clock.sleep(for: .milliseconds(milliseconds))
            return milliseconds
        }
        service.stream("Count") { (milliseconds: Int, context, out: Outbound<Int>) in
            try await out.send(1)
            try await context.clock.sleep(for: .milliseconds(milliseconds))
            try await out.send(2)
        }
    }

    private func call(_ client: Client, _ milliseconds: Int) async -> Bool {
        let options = CallOptions(timeout: .seconds(3600), retry: .never)
        let answer = try? await client.call(
            "greeter", "Slow", milliseconds, as: Int.self, options: options)
        return answer != nil
    }

    private func count(_ client: Client, _ milliseconds: Int) async throws -> Int {
        var sum = 0
        let replies = try await client.stream(
            "greeter", "Count", milliseconds, as: Int.self)
        for try await reply in replies { sum += reply }
        return sum
    }

    @Test func everyStepIsInTheReport() async throws {
        try await withSimulation {
            let log = LogJournal()
            let service = makeService(log: log) {
                $0.drainDelay = .milliseconds(300)
                $0.gracePeriod = .seconds(2)
            }
            slow(service)
            let client = makeClient(at: "memory://greeter")
            try await service.start()
            #expect(service.drainReport == nil)
            async let before = call(client, 100)
            async let finished = call(client, 1000)
            async let aborted = call(client, 60_000)
            async let streamed = count(client, 1000)
            try await Environment.current.clock.sleep(for: .milliseconds(10))
            try await service.stop()
            let answers = await (before, finished, aborted)
            #expect(answers == (true, true, false))
            #expect(try await streamed == 3)

            let report = try #require(service.drainReport)
            #expect(report.connections == 1)
            #expect(report.finished == 2)
            #expect(report.finishedStreams == 1)
            #expect(report.aborted == 1)
            #expect(report.unfinished == 0)
            #expect(report.deregistering == .zero)
            #expect(report.propagating == .milliseconds(300))
            #expect(report.draining >= .seconds(2) && report.draining < .milliseconds(2300))
            #expect(report.problems.isEmpty)
            #expect(log.contains("info: stopped", "2 calls finished (1 streams), 1 aborted"))
            await client.close()
        }
    }

    /// Neither an outage of the register nor what ignores its cancellation blocks the exit.
    @Test func nothingBlocksTheEnd() async throws {
        try await withSimulation {
            let service = makeService(in: DeafRegister()) {
                $0.stepTimeout = .seconds(3)
                $0.gracePeriod = .seconds(2)
            }
            service.beforeStop { await ignoringCancellation(for: .seconds(600)) }
            service.handle("Stubborn") { (_: Empty, context) -> Empty in
                await ignoringCancellation(for: .seconds(600))
                return Empty()
            }
            let client = makeClient(at: "memory://greeter")
            try await service.start()
            async let answer: Empty = client.call(
                "greeter", "Stubborn", Empty(),
                options: CallOptions(timeout: .seconds(3600), retry: .never))
            try await Environment.current.clock.sleep(for: .milliseconds(10))
            let began = virtualMilliseconds
            _ = try await microError { try await service.stop() }
            // A hook, the register, the grace, and a second for the handler.
            #expect((9000...9100).contains(virtualMilliseconds - began))
            let report = try #require(service.drainReport)
            #expect(report.deregistering == nil)
            #expect(report.aborted == 1)
            #expect(report.unfinished == 1)
            #expect(report.problems.count == 1)
            #expect(report.description.contains("a hook of beforeStop took longer than"))
            #expect(report.description.contains("leaving the deaf register took longer than"))
            _ = try? await answer
            await client.close()
        }
    }
}

private func ignoringCancellation(for duration: Duration) async {
    let environment = Environment.current
    await environment.spawn { try? await environment.clock.sleep(for: duration) }.wait()
}

/// A register whose deregistration never ends, and that takes no notice of being told to.
private final class DeafRegister: Register {
    private let memory = MemoryRegister()
    var name: String { "deaf" }
    func describe() -> String { "the deaf register" }

    func register(_ node: ServiceNode, ttl: Duration) async throws {
        try await memory.register(node, ttl: ttl)
    }

    func deregister(_ node: ServiceNode) async throws {
        await ignoringCancellation(for: .seconds(86_400))
    }

    func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] {
        try await memory.lookup(service, namespace: namespace)
    }

    func list(namespace: String) async throws -> [ServiceRecord] {
        try await memory.list(namespace: namespace)
    }

    func watch(_ service: String?, namespace: String) -> RegisterEvents {
        memory.watch(service, namespace: namespace)
    }

    func close() async { await memory.close() }
}
