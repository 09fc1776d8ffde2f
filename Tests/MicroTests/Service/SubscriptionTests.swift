import Testing

@testable import Micro

/// The subscriptions of a service.
@Suite(.timeLimit(.minutes(10)))
struct SubscriptionTests {
    @Test func aMessageIsHandledAndItsHandlerMayCall() async throws {
        try await withSimulation {
            let journal = Journal<String>()
            let service = makeService()
            service.handle(.hello) { request, context in
                Greeting(message: "Hello, \(request.name) (\(context.requestID))")
            }
            service.subscribe("orders.*", group: "billing") { (order: Hello, context) in
                let reply = try await context.client.call(.hello, order)
                journal.write("\(context.service) \(context.endpoint) \(reply.message)")
            }
            try await running(service) {
                try await service.broker.publish(
                    Message(
                        topic: "orders.created", headers: ["x-request-id": "r-1"],
                        body: Array(#"{"name":"Ada"}"#.utf8)))
                try await Environment.current.clock.sleep(for: .seconds(1))
                #expect(journal.entries == ["greeter orders.created Hello, Ada (r-1)"])
            }
        }
    }

    @Test func whoThrowsGetsItAgain() async throws {
        try await withSimulation {
            let tries = Journal<Int>()
            let log = LogJournal()
            let service = makeService(log: log)
            service.subscribe("orders") { (order: Hello, context) in
                tries.write(virtualMilliseconds)
                if tries.count < 3 { throw MicroError("t", .aborted, "not yet") }
            }
            try await running(service) {
                try await service.broker.publish(Hello(name: "Ada"), to: "orders")
                try await Environment.current.clock.sleep(for: .seconds(600))
                #expect(tries.count == 3)
                #expect(tries.entries == tries.entries.sorted())
                #expect(log.lines.filter { $0.contains("a message was not processed") }.count == 2)
                #expect(log.contains("not processed", "topic=orders", "not yet"))
            }
        }
    }

    @Test func stopLetsHandlersFinish() async throws {
        try await withSimulation {
            let journal = Journal<String>()
            let register = MemoryRegister()
            let greeter = makeService(in: register)
            greeter.handle(.hello) { request, context in Greeting(message: request.name) }
            try await greeter.start()
            let service = makeService("billing", in: register)
            service.subscribe("orders") { (order: Hello, context) in
                try await context.clock.sleep(for: .seconds(2))
                // The client is closed after the subscriptions.
                do {
                    let reply = try await context.client.call(.hello, order)
                    journal.write("\(reply.message) at \(virtualMilliseconds)")
                } catch { journal.write("\(error)") }
            }
            try await service.start()
            try await service.broker.publish(Hello(name: "Ada"), to: "orders")
            try await Environment.current.clock.sleep(for: .milliseconds(500))
            try await service.stop()
            #expect(journal.entries == ["Ada at 2000"])
            #expect((2000...2100).contains(virtualMilliseconds))
            try await greeter.stop()
        }
    }

    @Test func whoExceedsTheGraceIsCancelledAndAllEndTogether() async throws {
        try await withSimulation {
            let journal = Journal<String>()
            let service = makeService { $0.gracePeriod = .seconds(2) }
            for topic in ["a", "b", "c"] {
                service.subscribe(topic) { (order: Hello, context) in
                    do { try await context.clock.sleep(for: .seconds(20)) } catch {
                        journal.write("\(topic) cancelled at \(virtualMilliseconds)")
                        throw error
                    }
                }
            }
            try await service.start()
            for topic in ["a", "b", "c"] {
                try await service.broker.publish(Hello(name: "Ada"), to: topic)
            }
            try await Environment.current.clock.sleep(for: .seconds(1))
            try await service.stop()
            #expect(
                journal.entries.sorted() == [
                    "a cancelled at 3000", "b cancelled at 3000", "c cancelled at 3000",
                ])
        }
    }

    @Test func twoServicesOfAGroupShareTheMessages() async throws {
        try await withSimulation {
            let broker = MemoryBroker()
            let seen = Journal<String>()
            let services = ["one", "two"].map { name in
                let service = makeService(name) { $0.broker = broker }
                service.subscribe("orders", group: "billing") { (order: Hello, context) in
                    seen.write("\(name) \(order.name)")
                }
                service.subscribe("orders") { (order: Hello, context) in
                    seen.write("all \(order.name)")
                }
                return service
            }
            try await running(services[0], services[1]) {
                for number in 0..<20 {
                    try await broker.publish(Hello(name: "\(number)"), to: "orders")
                }
                try await Environment.current.clock.sleep(for: .seconds(1))
            }
            let shared = seen.entries.filter { !$0.hasPrefix("all") }
            #expect(shared.count == 20)
            #expect(Set(shared.map { $0.split(separator: " ")[1] }).count == 20)
            #expect(seen.entries.count == 60)
        }
    }

    @Test func whatCantBeReadIsReported() async throws {
        try await withSimulation {
            let log = LogJournal()
            let handled = Tally()
            let service = makeService(log: log)
            service.subscribe("orders") { (order: Hello, context) in handled.add() }
            try await running(service) {
                try await service.broker.publish(
                    Message(topic: "orders", body: Array("{".utf8)))
                try await service.broker.publish(Hello(name: "Ada"), to: "orders")
                try await Environment.current.clock.sleep(for: .seconds(60))
                #expect(handled.value == 1)
                #expect(log.contains("a message was not processed"))
            }
        }
    }

    /// A second subscription that the broker refuses: the first one is ended, and the server too.
    @Test func aSubscriptionThatFailsRollsBack() async throws {
        try await withSimulation {
            let broker = MemoryBroker()
            let held = try await broker.subscribe(
                TopicPattern("orders"), group: "g", options: SubscriptionOptions(maxDeliveries: 2))
            let register = ScriptedRegister()
            let service = makeService(in: register) { $0.broker = broker }
            service.subscribe("first") { (_: Hello, context) in }
            // Members of a group must agree.
            service.subscribe("orders", group: "g", options: SubscriptionOptions(maxDeliveries: 9))
            {
                (_: Hello, context) in
            }
            let error = try await microError { try await service.run() }
            #expect(error.code == .failedPrecondition)
            #expect(register.requests == [])
            #expect(service.addresses == [])
            await held.unsubscribe(timeout: .zero)
            await broker.close(timeout: .zero)
        }
    }
}
