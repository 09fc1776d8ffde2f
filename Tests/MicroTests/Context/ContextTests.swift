import Logging
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(10)))
struct ContextTests {
    private func makeContext(
        metadata: Metadata = Metadata(), deadline: Duration? = nil, log: LogJournal = LogJournal()
    ) -> Context {
        let environment = Environment.current
        return Context(
            scope: CallScope(
                of: CallOrigin(
                    service: "greeter", endpoint: "Greeter.Hello", environment: environment,
                    logger: log.logger, client: LentClient(nil)),
                facts: RequestFacts(metadata: metadata, peer: "127.0.0.1:1", identity: nil),
                deadline: deadline.map { environment.clock.now.advanced(by: $0) }))
    }

    @Test func whatIsUnboundInheritsNothing() async throws {
        let context = makeContext(deadline: .seconds(2))
        await context.bind {
            #expect(Context.current != nil)
            let task = Context.unbound {
                Environment.current.spawn { #expect(Context.current == nil) }
            }
            await task.wait()
        }
    }

    @Test func timeRemainingCountsDownToZero() async throws {
        try await withSimulation {
            let context = makeContext(deadline: .seconds(2))
            #expect(context.timeRemaining == .seconds(2))
            try await context.clock.sleep(for: .milliseconds(500))
            #expect(context.timeRemaining == .milliseconds(1500))
            try await context.clock.sleep(for: .seconds(10))
            #expect(context.timeRemaining == .zero)
            #expect(makeContext().timeRemaining == nil)
        }
    }

    @Test func theRequestIDIsTheCallersOrOneThatStays() {
        #expect(makeContext(metadata: ["X-Request-ID": "r-1"]).requestID == "r-1")
        let context = makeContext(metadata: ["x-request-id": ""])
        let copy = context
        #expect(!context.requestID.isEmpty)
        #expect(copy.requestID == context.requestID)
        #expect(makeContext().requestID != context.requestID)
    }

    @Test func theLoggerSaysWhichCallItIs() {
        let log = LogJournal()
        makeContext(metadata: ["x-request-id": "r-1"], log: log).logger.info("hello")
        #expect(log.lines == ["info: hello endpoint=Greeter.Hello request_id=r-1"])
    }

    @Test func copiesShareTheReplyMetadata() {
        let context = makeContext()
        let copy = context
        copy.replyMetadata["a"] = "1"
        context.replyMetadata.append("a", "2")
        #expect(context.replyMetadata.values("a") == ["1", "2"])
        #expect(copy.replyMetadata == context.replyMetadata)
    }

    @Test func itIsBoundToTheTaskAndItsChildren() async throws {
        #expect(Context.current == nil)
        let context = makeContext(metadata: ["x-request-id": "r-1"])
        await context.bind {
            #expect(Context.current?.requestID == "r-1")
            async let child = Context.current?.requestID
            #expect(await child == "r-1")
        }
        #expect(Context.current == nil)
    }

    @Test func handlersSeeTheirCall() async throws {
        try await withSimulation {
            let service = makeService()
            service.handle("Greeter.Look") { (_: Empty, context) async throws -> [String] in
                await Task.yield()
                return [
                    context.service, context.endpoint, Context.current?.requestID ?? "none",
                    "\(context.peer.isEmpty)", "\(context.deadline != nil)",
                    "\(Environment.current.isSimulated)", "\(try await context.offload { 7 })",
                ]
            }
            service.handle("Greeter.LookSync") { (_: Empty, context) in
                "\(Environment.current.isSimulated) \(context.requestID)"
            }
            try await running(service) {
                let options = CallOptions(metadata: ["x-request-id": "r-1"])
                let seen: [String] = try await service.client.call(
                    "greeter", "Greeter.Look", Empty(), options: options)
                #expect(
                    seen == ["greeter", "Greeter.Look", "r-1", "false", "true", "true", "7"])
                let sync: String = try await service.client.call(
                    "greeter", "Greeter.LookSync", Empty(), options: options)
                #expect(sync == "true r-1")
            }
        }
    }

    /// Safe after the handler has returned, also when the answer is long gone.
    @Test func itMayOutliveTheCall() async throws {
        try await withSimulation {
            let kept = Journal<Context>()
            let service = makeService()
            service.handle("Keep") { (_: Empty, context) -> Empty in
                kept.write(context)
                return Empty()
            }
            try await running(service) {
                _ = try await service.client.call("greeter", "Keep", Empty(), as: Empty.self)
            }
            let context = try #require(kept.entries.first)
            context.replyMetadata["late"] = "yes"
            #expect(context.endpoint == "Keep")
            #expect(!context.requestID.isEmpty)
        }
    }

    /// A server that was made without a client lends one that calls addresses: always the same.
    @Test func aServerAloneLendsAClient() async throws {
        try await withSimulation {
            let below = makeService("below")
            below.handle("Go") { (_: Empty, context) in "below" }
            let server = Server(
                name: "alone", options: ServerOptions(addresses: ["memory://alone"]))
            let clients = Journal<ObjectIdentifier>()
            server.handle("Go") { (_: Empty, context) async throws -> String in
                clients.write(ObjectIdentifier(context.client))
                return try await context.client.call(
                    "below", "Go", Empty(), options: CallOptions(address: "memory://below"))
            }
            server.handle("Discover") { (_: Empty, context) async throws -> String in
                try await context.client.call("below", "Go", Empty())
            }
            try await server.start()
            try await running(below) {
                let caller = makeClient(of: "alone", at: "memory://alone")
                for _ in 0..<3 {
                    #expect(
                        try await caller.call("alone", "Go", Empty(), as: String.self) == "below")
                }
                #expect(Set(clients.entries).count == 1)
                #expect(below.statistics.connectionsTotal == 1)
                let error = try await microError {
                    _ = try await caller.call("alone", "Discover", Empty(), as: String.self)
                }
                #expect(error.code == .notFound)
                await caller.close()
            }
            try await server.drain()
        }
    }
}
