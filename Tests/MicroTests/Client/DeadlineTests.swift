import Testing

@testable import Micro

/// Deadlines and cancellation, with exact virtual times.
@Suite(.timeLimit(.minutes(10)))
struct DeadlineTests {
    /// What a slow handler has seen, with the times.
    private func slow(_ service: MicroService, _ journal: Journal<String>) {
        service.handle("Slow") { (milliseconds: Int, context) -> Int in
            journal.write("begun at \(virtualMilliseconds)")
            do {
                try await context.clock.sleep(for: .milliseconds(milliseconds))
            } catch {
                journal.write("cancelled at \(virtualMilliseconds)")
                throw error
            }
            journal.write("done at \(virtualMilliseconds)")
            return milliseconds
        }
    }

    @Test func whoTakesTooLongIsCancelledAndTheCallerGoesOn() async throws {
        try await withSimulation {
            let journal = Journal<String>()
            let service = makeService()
            slow(service, journal)
            try await running(service) {
                let error = try await microError {
                    _ = try await service.client.call(
                        "greeter", "Slow", 60_000, as: Int.self,
                        options: CallOptions(timeout: .milliseconds(200)))
                }
                #expect(error.code == .deadlineExceeded)
                #expect(error.wasWritten)
                #expect(virtualMilliseconds == 200)
                try await Environment.current.clock.sleep(for: .seconds(1))
                #expect(journal.entries == ["begun at 0", "cancelled at 200"])
                #expect(service.statistics.calls == 0)
            }
        }
    }

    @Test func theClientsTimeoutIsTheDefault() async throws {
        try await withSimulation {
            let journal = Journal<String>()
            let service = makeService { $0.client.timeout = .seconds(3) }
            slow(service, journal)
            try await running(service) {
                let error = try await microError {
                    _ = try await service.client.call("greeter", "Slow", 60_000, as: Int.self)
                }
                #expect(error.code == .deadlineExceeded)
                #expect(virtualMilliseconds == 3000)
            }
        }
    }

    @Test func theEndpointsTimeoutIsTheLongest() async throws {
        try await withSimulation {
            let journal = Journal<String>()
            let service = makeService()
            service.handle("Slow", timeout: .milliseconds(500)) { (_: Empty, context) -> Empty in
                journal.write("\(context.timeRemaining ?? .zero)")
                try await context.clock.sleep(for: .seconds(60))
                return Empty()
            }
            try await running(service) {
                let error = try await microError {
                    _ = try await service.client.call("greeter", "Slow", Empty(), as: Empty.self)
                }
                #expect(error.code == .deadlineExceeded)
                #expect(virtualMilliseconds == 500)
                #expect(journal.entries == ["0.5 seconds"])
            }
        }
    }

    @Test(arguments: [Duration.zero, .seconds(-1)])
    func aTimeoutThatHasPassedCallsNobody(timeout: Duration) async throws {
        try await withSimulation {
            let service = makeService()
            slow(service, Journal())
            try await running(service) {
                let error = try await microError {
                    _ = try await service.client.call(
                        "greeter", "Slow", 0, as: Int.self, options: CallOptions(timeout: timeout))
                }
                #expect(error.code == .deadlineExceeded)
                #expect(!error.wasWritten)
                #expect(service.statistics.callsTotal == 0)
            }
        }
    }

    /// A -> B -> C: who is below has less time, and nothing runs on after the deadline.
    @Test func theDeadlineIsInherited() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let journal = Journal<String>()
            let (a, b, c) = (
                makeService("a", in: register), makeService("b", in: register),
                makeService("c", in: register)
            )
            for (service, next) in [(a, "b"), (b, "c")] {
                service.handle("Go") { (_: Empty, context) -> Empty in
                    let before = context.timeRemaining ?? .zero
                    do {
                        return try await context.client.call(
                            next, "Go", Empty(), as: Empty.self,
                            options: CallOptions(timeout: .seconds(60)))
                    } catch {
                        let code = (error as? MicroError)?.code.name ?? "\(error)"
                        journal.write("\(service.name) \(before) \(code)")
                        throw error
                    }
                }
            }
            c.handle("Go") { (_: Empty, context) -> Empty in
                journal.write("c \(context.timeRemaining ?? .zero)")
                try? await context.clock.sleep(for: .seconds(3600))
                journal.write("c ended at \(virtualMilliseconds)")
                return Empty()
            }
            try await running(c, b, a) {
                let error = try await microError {
                    _ = try await a.client.call(
                        "a", "Go", Empty(), as: Empty.self,
                        options: CallOptions(timeout: .milliseconds(100)))
                }
                #expect(error.code == .deadlineExceeded)
                // Each level has 2 ms less, so that its answer is there before its caller gives up.
                #expect(
                    journal.entries == [
                        "c 0.096 seconds", "c ended at 96", "b 0.098 seconds DEADLINE_EXCEEDED",
                        "a 0.1 seconds DEADLINE_EXCEEDED",
                    ])
                #expect(virtualMilliseconds <= 100)
            }
        }
    }

    @Test func anInnerCallMayHaveLessTimeButNotMore() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let journal = Journal<String>()
            let (a, b) = (makeService("a", in: register), makeService("b", in: register))
            b.handle("Go") { (_: Empty, context) -> Empty in
                journal.write("\(context.timeRemaining ?? .zero)")
                return Empty()
            }
            a.handle("Go") { (_: Empty, context) -> Empty in
                for timeout in [Duration.milliseconds(10), .seconds(60)] {
                    _ = try await context.client.call(
                        "b", "Go", Empty(), as: Empty.self, options: CallOptions(timeout: timeout))
                }
                return Empty()
            }
            try await running(b, a) {
                _ = try await a.client.call(
                    "a", "Go", Empty(), as: Empty.self,
                    options: CallOptions(timeout: .milliseconds(100)))
                #expect(journal.entries == ["0.01 seconds", "0.098 seconds"])
            }
        }
    }

    @Test func whoHasNoTimeLeftCallsNobody() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let journal = Journal<String>()
            let (a, b) = (makeService("a", in: register), makeService("b", in: register))
            b.handle("Go") { (_: Empty, context) in Empty() }
            a.handle("Go") { (_: Empty, context) -> Empty in
                try? await context.clock.sleep(for: .seconds(1))
                let error = try await microError {
                    _ = try await context.client.call("b", "Go", Empty(), as: Empty.self)
                }
                journal.write(error.code.name)
                return Empty()
            }
            try await running(b, a) {
                _ = try? await a.client.call(
                    "a", "Go", Empty(), as: Empty.self,
                    options: CallOptions(timeout: .milliseconds(100)))
                try await Environment.current.clock.sleep(for: .seconds(2))
                #expect(journal.entries == ["DEADLINE_EXCEEDED"])
                #expect(b.statistics.callsTotal == 0)
            }
        }
    }

    // MARK: What is inherited beside the deadline

    @Test func requestIDAndTraceAreInherited() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let journal = Journal<[String?]>()
            let (a, b) = (makeService("a", in: register), makeService("b", in: register))
            b.handle("Go") { (_: Empty, context) -> Empty in
                journal.write(
                    [context.requestID]
                        + ["traceparent", "tracestate", "baggage", "tenant"].map {
                            context.metadata.values($0).joined(separator: ",")
                        })
                return Empty()
            }
            a.handle("Go") { (own: Bool, context) -> String in
                var options = CallOptions()
                if own {
                    options.metadata = ["x-request-id": "mine", "traceparent": "other"]
                }
                _ = try await context.client.call(
                    "b", "Go", Empty(), as: Empty.self, options: options)
                return context.requestID
            }
            try await running(b, a) {
                var given: Metadata = [
                    "x-request-id": "r-1", "traceparent": "00-1-2-01", "tenant": "acme",
                    "baggage": "k=v",
                ]
                given.append("tracestate", "a=1")
                given.append("tracestate", "b=2")
                let seen: String = try await a.client.call(
                    "a", "Go", false, options: CallOptions(metadata: given))
                #expect(seen == "r-1")
                // Only what is about the request as a whole goes on by itself.
                #expect(journal.entries.last == ["r-1", "00-1-2-01", "a=1,b=2", "k=v", ""])
                // What the inner call says wins.
                _ = try await a.client.call(
                    "a", "Go", true, as: String.self, options: CallOptions(metadata: given))
                #expect(journal.entries.last?[0] == "mine")
                #expect(journal.entries.last?[1] == "other")
                // Without one a request gets a new id, the same for all of it.
                let fresh: String = try await a.client.call("a", "Go", false)
                #expect(!fresh.isEmpty)
                #expect(journal.entries.last?[0] == fresh)
                #expect(try await a.client.call("a", "Go", false, as: String.self) != fresh)
            }
        }
    }

    // MARK: Cancellation

    @Test(arguments: Place.allCases)
    func cancellingTheCallerCancelsTheHandler(place: Place) async throws {
        try await place.run {
            let journal = Journal<String>()
            let service = makeService(at: place.address("greeter"))
            service.handle("Slow") { (_: Empty, context) -> Empty in
                journal.write("begun")
                do {
                    try await context.clock.sleep(for: .seconds(3600))
                } catch {
                    journal.write(error is CancellationError ? "cancelled" : "\(error)")
                    throw error
                }
                return Empty()
            }
            try await running(service) {
                let caller = Environment.current.spawn {
                    do {
                        _ = try await service.client.call(
                            "greeter", "Slow", Empty(), as: Empty.self,
                            options: CallOptions(timeout: .seconds(3600)))
                    } catch {
                        journal.write("caller \((error as? MicroError)?.code.name ?? "\(error)")")
                    }
                }
                let clock = Environment.current.clock
                while journal.count < 1 { try await clock.sleep(for: .milliseconds(1)) }
                caller.cancel()
                await caller.wait()
                while journal.count < 3 { try await clock.sleep(for: .milliseconds(1)) }
                #expect(Set(journal.entries) == ["begun", "cancelled", "caller CANCELLED"])
            }
        }
    }

    /// The caller of the caller gives up: it goes down through all of them.
    @Test func cancellationGoesDown() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let journal = Journal<String>()
            let (a, b) = (makeService("a", in: register), makeService("b", in: register))
            b.handle("Go") { (_: Empty, context) -> Empty in
                do { try await context.clock.sleep(for: .seconds(3600)) } catch {
                    journal.write("b cancelled at \(virtualMilliseconds)")
                    throw error
                }
                return Empty()
            }
            a.handle("Go") { (_: Empty, context) -> Empty in
                try await context.client.call("b", "Go", Empty())
            }
            try await running(b, a) {
                let caller = Environment.current.spawn {
                    _ = try? await a.client.call("a", "Go", Empty(), as: Empty.self)
                }
                try await Environment.current.clock.sleep(for: .milliseconds(50))
                caller.cancel()
                await caller.wait()
                try await Environment.current.clock.sleep(for: .milliseconds(1))
                #expect(journal.entries == ["b cancelled at 50"])
            }
        }
    }

    /// The same on real loops, with handlers on the loop and on the pool, and the deadline too.
    @Test(arguments: [AsyncExecution.loop, .concurrent], [true, false])
    func cancellationAndDeadlineGoDownOverSockets(
        execution: AsyncExecution, isCancelled: Bool
    ) async throws {
        let register = MemoryRegister()
        let (begun, ended) = (Journal<String>(), Journal<String>())
        let services = ["a", "b", "c"].map {
            makeService($0, at: "tcp://127.0.0.1:0", in: register)
        }
        let (a, b, c) = (services[0], services[1], services[2])
        for (service, next) in [(a, "b"), (b, "c")] {
            service.handle("Go", execution: execution) { (_: Empty, context) -> Empty in
                begun.write(service.name)
                defer { ended.write(service.name) }
                return try await context.client.call(
                    next, "Go", Empty(), options: CallOptions(timeout: .seconds(3600)))
            }
        }
        c.handle("Go", execution: execution) { (_: Empty, context) -> Empty in
            begun.write("c")
            defer { ended.write("c") }
            try await context.clock.sleep(for: .seconds(3600))
            return Empty()
        }
        let clock = Environment.current.clock
        try await running(c, b, a) {
            // On a busy machine a deadline may pass before the last one is reached.
            var timeout = isCancelled ? Duration.seconds(3600) : .milliseconds(500)
            while !begun.entries.contains("c") {
                let options = CallOptions(timeout: timeout)
                let caller = Environment.current.spawn {
                    _ = try? await a.client.call(
                        "a", "Go", Empty(), as: Empty.self, options: options)
                }
                while isCancelled, !begun.entries.contains("c") {
                    try await clock.sleep(for: .milliseconds(1))
                }
                if isCancelled { caller.cancel() }
                await caller.wait()
                timeout = timeout * 4
            }
            while ended.count < begun.count { try await clock.sleep(for: .milliseconds(1)) }
            #expect(Set(ended.entries) == ["a", "b", "c"])
        }
    }

    /// A connection that ends takes the calls with it that came over it, and those below.
    @Test func aConnectionThatEndsCancelsWhatIsBelow() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let journal = Journal<String>()
            let (a, b) = (makeService("a", in: register), makeService("b", in: register))
            b.handle("Go") { (_: Empty, context) -> Empty in
                defer { journal.write("b ended at \(virtualMilliseconds)") }
                try await context.clock.sleep(for: .seconds(3600))
                return Empty()
            }
            a.handle("Go") { (_: Empty, context) -> Empty in
                defer { journal.write("a ended at \(virtualMilliseconds)") }
                return try await context.client.call("b", "Go", Empty())
            }
            try await running(b, a) {
                let client = makeClient(of: "a", at: "memory://a")
                async let answer: Empty = client.call(
                    "a", "Go", Empty(), options: CallOptions(timeout: .seconds(3600)))
                try await Environment.current.clock.sleep(for: .milliseconds(50))
                await client.close(grace: .zero)
                _ = try? await answer
                try await Environment.current.clock.sleep(for: .milliseconds(1))
                #expect(Set(journal.entries) == ["a ended at 50", "b ended at 50"])
            }
        }
    }

    @Test func whoIsCancelledBeforeDoesNotCall() async throws {
        try await withSimulation {
            let service = makeService()
            service.handle(.hello) { request, context in Greeting(message: request.name) }
            let codes = Journal<String?>()
            try await running(service) {
                let caller = Environment.current.spawn {
                    while !Task.isCancelled { await Task.yield() }
                    do {
                        _ = try await service.client.call(.hello, Hello(name: "Ada"))
                    } catch {
                        codes.write((error as? MicroError)?.code.name)
                    }
                }
                caller.cancel()
                await caller.wait()
                #expect(codes.entries == ["CANCELLED"])
                #expect(service.statistics.callsTotal == 0)
            }
        }
    }

    /// Cancelled after ever more jobs of the loop, from the first to beyond the answer: a turn of
    /// the loop has 1,024 of them, and a call takes a few turns.
    @Test func cancelledAtEveryPoint() async throws {
        try await withSimulation(seed: 5) {
            let service = makeService()
            let (begun, ended) = (Tally(), Tally())
            service.handle("Work") { (_: Empty, context) -> Empty in
                begun.add()
                defer { ended.add() }
                for _ in 0..<10 { await Task.yield() }
                return Empty()
            }
            try await running(service) {
                let (succeeded, cancelled) = (Tally(), Tally())
                let jobs = Array(0..<40) + Array(stride(from: 40, to: 15_000, by: 97))
                for jobs in jobs {
                    let caller = Environment.current.spawn {
                        do {
                            _ = try await service.client.call(
                                "greeter", "Work", Empty(), as: Empty.self)
                            succeeded.add()
                        } catch {
                            #expect((error as? MicroError)?.code == .cancelled)
                            cancelled.add()
                        }
                    }
                    for _ in 0..<jobs { await Task.yield() }
                    caller.cancel()
                    await caller.wait()
                }
                #expect(succeeded.value + cancelled.value == jobs.count)
                #expect(succeeded.value > 0 && cancelled.value > 0)
                try await Environment.current.clock.sleep(for: .seconds(1))
                #expect(begun.value == ended.value)
                #expect(service.statistics.calls == 0)
            }
        }
    }
}
