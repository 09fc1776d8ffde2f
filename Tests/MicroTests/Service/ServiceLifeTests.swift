import Testing

@testable import Micro

/// Starting, running and ending a service.
@Suite(.timeLimit(.minutes(10)))
struct ServiceLifeTests {
    private struct Refused: Error {}

    /// Whether somebody could listen there.
    private func isFree(_ address: String) async throws -> Bool {
        let server = Server(name: "probe", options: ServerOptions(addresses: [address]))
        do {
            try await server.start()
        } catch { return false }
        try await server.drain()
        return true
    }

    // MARK: Problems

    @Test func everythingThatIsWrongIsSaidAtOnceAndNothingIsOpened() async throws {
        try await withSimulation {
            let register = ScriptedRegister()
            let service = makeService("gree ter", at: "memory://fine", in: register) {
                $0.server.addresses.append("pigeon://x")
                $0.server.maxMessageBytes = 0
                $0.client.timeout = .zero
                $0.registerTTL = .seconds(1)
                $0.registerInterval = .seconds(2)
                $0.drainDelay = .seconds(-1)
                $0.gracePeriod = .seconds(-1)
                $0.stepTimeout = .zero
                $0.weight = 0
            }
            for name in ["Hello", "Hello", "A.B", "A/B", "a b"] {
                service.handle(name) { (_: Empty, context) in Empty() }
            }
            service.handle(.hello) { request, context in Greeting(message: "") }
            service.subscribe("orders..created") { (_: Empty, context) in }
            let touched = Tally()
            service.beforeStart { touched.add() }
            let (started, ran) = (
                try await microError { try await service.start() },
                try await microError { try await service.run() }
            )
            #expect(started == ran)
            #expect(started.code == .invalidArgument)
            for part in [
                "name \"gree ter\"", "unknown scheme \"pigeon\"", "maxMessageBytes", "timeout",
                "registerInterval is 2.0 seconds: it must be less than", "drainDelay",
                "gracePeriod",
                "stepTimeout", "weight is 0", "\"Hello\" is handled twice",
                "both answer at /A/B", "\"a b\"", "belongs to the service \"greeter\"",
                "the subscription to \"orders..created\"",
            ] {
                #expect(started.detail.contains(part), "\(part)")
            }
            #expect(touched.value == 0)
            #expect(register.requests == [])
            #expect(try await isFree("memory://fine"))
            #expect(service.readiness.reason == "not started")
        }
    }

    // MARK: run()

    @Test(arguments: Place.allCases)
    func runServesUntilItIsTriggered(place: Place) async throws {
        try await place.run {
            let register = MemoryRegister()
            let service = makeService(at: place.address("greeter"), in: register)
            service.handle(.hello) { request, context in Greeting(message: request.name) }
            let returns = Tally()
            let runner = Environment.current.spawn {
                do { try await service.run() } catch { Issue.record(error) }
                returns.add()
            }
            let clock = Environment.current.clock
            while !service.readiness.isReady { try await clock.sleep(for: .milliseconds(1)) }
            #expect(try await service.client.call(.hello, Hello(name: "Ada")).message == "Ada")
            #expect(try await register.lookup("greeter").map(\.id) == [service.nodeID])
            #expect(returns.value == 0)
            for _ in 0..<3 { service.triggerShutdown() }
            await runner.wait()
            #expect(returns.value == 1)
            #expect(service.readiness == (false, "stopped"))
            #expect(service.addresses == [])
            #expect(try await register.lookup("greeter") == [])
            let again = try await microError { try await service.run() }
            #expect(again.detail.contains("started before"))
        }
    }

    @Test func aTriggerBeforeTheStartIsNotLost() async throws {
        try await withSimulation {
            let register = ScriptedRegister()
            let service = makeService(in: register)
            service.triggerShutdown()
            try await service.run()
            #expect(register.requests == ["register", "deregister"])
            #expect(try await isFree("memory://greeter"))
        }
    }

    @Test func runEndsInOrderWhenItsTaskIsCancelled() async throws {
        try await withSimulation {
            let register = ScriptedRegister()
            let service = makeService(in: register) { $0.drainDelay = .milliseconds(300) }
            service.handle("Slow") { (_: Empty, context) -> Int in
                try await context.clock.sleep(for: .seconds(2))
                return virtualMilliseconds
            }
            let client = makeClient(at: "memory://greeter")
            let journal = Journal<String>()
            let runner = Environment.current.spawn {
                do {
                    try await service.run()
                    journal.write("returned at \(virtualMilliseconds)")
                } catch { journal.write("\(error)") }
            }
            try await Environment.current.clock.sleep(for: .milliseconds(100))
            let caller = Environment.current.spawn {
                do {
                    let reply: Int = try await client.call("greeter", "Slow", Empty())
                    journal.write("answered at \(reply)")
                } catch { journal.write("\(error)") }
            }
            try await Environment.current.clock.sleep(for: .milliseconds(100))
            runner.cancel()
            await runner.wait()
            await caller.wait()
            // The call began at 100 ms and takes 2 s: it is waited for.
            #expect(journal.entries.first == "answered at 2100")
            #expect(journal.entries.last?.hasPrefix("returned at 21") == true)
            #expect(register.journal.entries == ["register at 0", "deregister at 200"])
            await client.close()
        }
    }

    @Test func stopMakesRunReturn() async throws {
        try await withSimulation {
            let service = makeService()
            let returns = Tally()
            let runner = Environment.current.spawn {
                do { try await service.run() } catch { Issue.record(error) }
                returns.add()
            }
            try await Environment.current.clock.sleep(for: .milliseconds(1))
            try await service.stop()
            await runner.wait()
            #expect(returns.value == 1)
        }
    }

    @Test func everyStopWaitsForTheSameEnd() async throws {
        try await withSimulation {
            let register = ScriptedRegister()
            let service = makeService(in: register) { $0.drainDelay = .seconds(1) }
            let ends = Journal<Int>()
            try await service.start()
            let stoppers = (0..<3).map { _ in
                Environment.current.spawn {
                    do { try await service.stop() } catch { Issue.record(error) }
                    ends.write(virtualMilliseconds)
                }
            }
            for stopper in stoppers { await stopper.wait() }
            #expect(Set(ends.entries).count == 1)
            #expect((1000...1010).contains(try #require(ends.entries.first)))
            #expect(register.requests == ["register", "deregister"])
            try await service.stop()
        }
    }

    @Test func whatNeverStartedStops() async throws {
        try await makeService().stop()
    }

    @Test func stopWhileStartingIsRefused() async throws {
        try await withSimulation {
            let service = makeService()
            service.beforeStart { try await Environment.current.clock.sleep(for: .seconds(1)) }
            let starter = Environment.current.spawn {
                do { try await service.start() } catch { Issue.record(error) }
            }
            try await Environment.current.clock.sleep(for: .milliseconds(1))
            #expect(service.readiness == (false, "starting"))
            let error = try await microError { try await service.stop() }
            #expect(error.code == .failedPrecondition)
            await starter.wait()
            try await service.stop()
        }
    }

    @Test func twoStartsAtOnceAreOneAndAnError() async throws {
        try await withSimulation {
            let service = makeService()
            let ends = Journal<String>()
            let starters = (0..<2).map { _ in
                Environment.current.spawn {
                    do {
                        try await service.start()
                        ends.write("started")
                    } catch { ends.write((error as? MicroError)?.code.name ?? "\(error)") }
                }
            }
            for starter in starters { await starter.wait() }
            #expect(ends.entries.sorted() == ["INVALID_ARGUMENT", "started"])
            try await service.stop()
        }
    }

    // MARK: A start that fails (D-02)

    @Test func whatWasStartedIsStoppedInReverse() async throws {
        try await withSimulation {
            let register = ScriptedRegister()
            let journal = Journal<String>()
            let service = makeService(in: register)
            service.beforeStart { journal.write("before start") }
            service.afterStart { journal.write("after start") }
            service.afterStart { throw Refused() }
            service.beforeStop { journal.write("before stop") }
            service.afterStop { journal.write("after stop") }
            await #expect(throws: Refused.self) { try await service.run() }
            // What had not been reached is not undone.
            #expect(journal.entries == ["before start", "after start", "after stop"])
            #expect(register.requests == ["register", "deregister"])
            #expect(try await isFree("memory://greeter"))
            #expect(service.readiness.reason == "stopped")
            #expect(service.addresses == [])
            try await service.stop()
        }
    }

    @Test(arguments: Place.allCases)
    func anAddressInUseIsNamedAndNothingIsLeft(place: Place) async throws {
        try await place.run {
            let first = makeService(at: place.address("taken"))
            try await running(first) {
                let taken = try #require(first.addresses.first)
                let register = ScriptedRegister()
                let journal = Journal<String>()
                let service = makeService("second", at: place.address("free"), in: register) {
                    $0.server.addresses.append(taken)
                }
                service.afterStop { journal.write("after stop") }
                let error = try await microError { try await service.run() }
                #expect(error.detail.contains("listen on \(taken)"))
                #expect(error.detail.contains("in use"))
                #expect(register.requests == [])
                #expect(journal.entries == ["after stop"])
                if place == .simulation { #expect(try await isFree("memory://free")) }
            }
        }
    }

    /// Cancelled while it starts: it is out of the register again, as if it had been stopped.
    @Test func aCancelledStartIsRolledBack() async throws {
        try await withSimulation {
            let register = ScriptedRegister()
            let service = makeService(in: register)
            service.afterStart {
                try await Environment.current.clock.sleep(for: .seconds(3600))
            }
            let ends = Journal<String>()
            let runner = Environment.current.spawn {
                do { try await service.run() } catch { ends.write("\(error)") }
            }
            try await Environment.current.clock.sleep(for: .seconds(1))
            runner.cancel()
            await runner.wait()
            #expect(ends.count == 1)
            #expect(register.requests == ["register", "deregister"])
            #expect(try await register.lookup("greeter") == [])
            #expect(try await isFree("memory://greeter"))
        }
    }

    // MARK: The end

    /// 1.22: not ready, out of the register, a moment, GOAWAY, calls in flight, closed.
    @Test func theOrderOfTheEnd() async throws {
        try await withSimulation {
            let register = ScriptedRegister()
            let journal = Journal<String>()
            let environment = Environment.current
            let service = makeService(in: register) {
                $0.drainDelay = .milliseconds(300)
                $0.gracePeriod = .seconds(10)
            }
            service.handle("Slow") { (_: Empty, context) -> Empty in
                try await context.clock.sleep(for: .seconds(2))
                journal.write("handler done at \(virtualMilliseconds)")
                return Empty()
            }
            service.handle(.hello) { request, context in Greeting(message: request.name) }
            service.beforeStop { journal.write("before stop, \(service.readiness.reason)") }
            service.afterStop { journal.write("after stop at \(virtualMilliseconds)") }
            try await service.start()
            let client = makeClient(at: "memory://greeter")
            let caller = environment.spawn {
                do {
                    _ = try await client.call("greeter", "Slow", Empty(), as: Empty.self)
                    journal.write("answered at \(virtualMilliseconds)")
                } catch { journal.write("\(error)") }
            }
            try await environment.clock.sleep(for: .seconds(1))
            let stopper = environment.spawn {
                do { try await service.stop() } catch { journal.write("\(error)") }
                journal.write("stopped at \(virtualMilliseconds)")
            }
            try await environment.clock.sleep(for: .milliseconds(100))
            // Out of the register, and still serving who has not learned of it.
            #expect(service.readiness == (false, "stopping"))
            #expect(try await register.lookup("greeter") == [])
            #expect(try await client.call(.hello, Hello(name: "Ada")).message == "Ada")
            journal.write("served at \(virtualMilliseconds)")
            try await environment.clock.sleep(for: .milliseconds(300))
            // Refused now, on the old connection and on a new one, and provably not processed.
            for refused in [client, makeClient(at: "memory://greeter")] {
                let error = try await microError {
                    _ = try await refused.call(
                        .hello, Hello(name: "Ada"), options: CallOptions(retry: .never))
                }
                #expect(error.code == .unavailable)
                #expect(!error.wasWritten)
            }
            journal.write("refused at \(virtualMilliseconds)")
            await stopper.wait()
            await caller.wait()
            #expect(register.journal.entries == ["register at 0", "deregister at 1000"])
            #expect(
                journal.entries.prefix(5) == [
                    "before stop, stopping", "served at 1100", "refused at 1400",
                    "handler done at 2000", "answered at 2000",
                ])
            #expect(journal.entries.dropFirst(5).first?.hasPrefix("after stop at 20") == true)
            #expect(journal.entries.last?.hasPrefix("stopped at 20") == true)
            #expect(try await isFree("memory://greeter"))
            await client.close()
        }
    }

    /// F-03: what is left after the grace is cut off, and that is said.
    @Test func whoExceedsTheGraceIsCutOff() async throws {
        try await withSimulation {
            let log = LogJournal()
            let journal = Journal<String>()
            let service = makeService(log: log) { $0.gracePeriod = .seconds(2) }
            service.handle("Slow") { (_: Empty, context) -> Empty in
                do { try await context.clock.sleep(for: .seconds(60)) } catch {
                    journal.write("cancelled at \(virtualMilliseconds)")
                    throw error
                }
                return Empty()
            }
            try await service.start()
            let client = makeClient(at: "memory://greeter")
            let caller = Environment.current.spawn {
                do {
                    _ = try await client.call(
                        "greeter", "Slow", Empty(), as: Empty.self,
                        options: CallOptions(timeout: .seconds(3600)))
                } catch {
                    journal.write("\((error as? MicroError)?.code.name ?? "\(error)")")
                }
            }
            try await Environment.current.clock.sleep(for: .milliseconds(1))
            try await service.stop()
            #expect((2000...3000).contains(virtualMilliseconds))
            await caller.wait()
            #expect(journal.entries.sorted() == ["UNAVAILABLE", "cancelled at 2001"])
            #expect(log.contains("warning: calls were cut off", "count=1"))
            let report = try #require(service.drainReport)
            #expect(report.aborted == 1 && report.finished == 0 && report.unfinished == 0)
            #expect((2000...2300).contains(report.draining / .milliseconds(1)))
            await client.close()
        }
    }

    @Test func errorsOfTheEndComeTogetherAndEverythingIsClosed() async throws {
        try await withSimulation {
            let register = ScriptedRegister()
            let journal = Journal<String>()
            let service = makeService(in: register)
            service.beforeStop { throw Refused() }
            service.beforeStop { journal.write("second hook") }
            service.afterStop { throw MicroError("t", .dataLoss, "the last one") }
            try await service.start()
            register.become(.down)
            let error = try await microError { try await service.stop() }
            for part in ["Refused", "the register is down", "the last one"] {
                #expect(error.detail.contains(part), "\(error)")
            }
            #expect(journal.entries == ["second hook"])
            #expect(try await isFree("memory://greeter"))
            #expect(service.readiness.reason == "stopped")
        }
    }

    @Test func aStepThatHangsIsGivenUp() async throws {
        try await withSimulation {
            let register = ScriptedRegister()
            let service = makeService(in: register) { $0.stepTimeout = .seconds(3) }
            service.beforeStop { try await Environment.current.clock.sleep(for: .seconds(3600)) }
            try await service.start()
            register.become(.hanging)
            let error = try await microError { try await service.stop() }
            #expect(error.detail.contains("a hook of beforeStop took longer than 3.0 seconds"))
            #expect(error.detail.contains("leaving the scripted register took longer than"))
            #expect((6000...6010).contains(virtualMilliseconds))
            #expect(try await isFree("memory://greeter"))
        }
    }

    // MARK: Clients of the service

    @Test func theClientOfAStoppedServiceIsClosed() async throws {
        try await withSimulation {
            let service = makeService()
            try await service.start()
            try await service.stop()
            let error = try await microError {
                _ = try await service.client.call(
                    .hello, Hello(name: "Ada"), options: CallOptions(address: "memory://greeter"))
            }
            #expect(error.detail.contains("closed"))
        }
    }

    @Test func whatTheOptionsGiveIsNotClosed() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let broker = MemoryBroker()
            let store = MemoryStore()
            let service = makeService(in: register) {
                $0.broker = broker
                $0.store = store
            }
            try await service.start()
            #expect(service.broker is MemoryBroker && service.store is MemoryStore)
            try await service.stop()
            #expect(try await register.lookup("greeter") == [])
            _ = try await broker.publish(Message(topic: "a", body: []))
            try await store.write("value", at: "key")
        }
    }

    /// A simulation that ends with a service running leaves nothing behind that could hurt.
    @Test func aServiceThatIsNotStopped() async throws {
        for seed in 0..<20 {
            try await withSimulation(seed: UInt64(seed)) {
                let service = makeService()
                service.handle("Slow") { (_: Empty, context) -> Empty in
                    try await context.clock.sleep(for: .seconds(3600))
                    return Empty()
                }
                try await service.start()
                Environment.current.spawn {
                    _ = try? await service.client.call("greeter", "Slow", Empty(), as: Empty.self)
                }
                try await Environment.current.clock.sleep(for: .milliseconds(seed))
            }
        }
    }
}
