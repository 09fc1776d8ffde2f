import Micro
import MicroTesting
import Synchronization
import Testing

@Suite struct MemoryBrokerTests {
    @Test(arguments: BrokerConformance.checks, [1, 2, 3] as [UInt64])
    func conforms(check: String, seed: UInt64) async throws {
        try await withSimulation(seed: seed) {
            try await BrokerConformance { MemoryBroker() }.run([check])
        }
    }

    @Test func conformsOnThreads() async throws {
        let checks = BrokerConformance.checks.filter {
            $0.contains("group") || $0.contains("parallel") || $0.contains("handler")
                || $0.contains("full queue")
        }
        #expect(checks.count >= 8)
        try await BrokerConformance { MemoryBroker() }.run(checks)
    }

    @Test func limitsAreKept() async throws {
        try await withSimulation(seed: 1) {
            let broker = MemoryBroker(
                options: MemoryBrokerOptions(maxMessageBytes: 4, maxScheduled: 1, maxPublishers: 1))
            await expectError(.payloadTooLarge) {
                try await broker.publish(Message(topic: "t", body: [1, 2, 3, 4, 5]))
            }
            await expectError(.resourceExhausted) {
                try await broker.publish(
                    Message(
                        topic: "t", headers: ["h": String(repeating: "v", count: 10_000)], body: [])
                )
            }
            let later = Message(topic: "t", body: [], delivery: .after(.seconds(1)))
            try await broker.publish(later)
            await expectError(.resourceExhausted) { try await broker.publish(later) }

            let subscription = try await broker.subscribe(
                TopicPattern("t"), group: nil, options: SubscriptionOptions(capacity: 1))
            try await broker.publish(Message(topic: "t", body: []))
            let environment = broker.environment
            let waiting = environment.spawn {
                _ = try? await broker.publish(Message(topic: "t", body: []), timeout: .seconds(9))
            }
            try await environment.clock.sleep(for: .milliseconds(1))
            await expectError(.resourceExhausted) {
                try await broker.publish(Message(topic: "t", body: []))
            }
            _ = try await subscription.next()
            await waiting.wait()
            await broker.close(timeout: .zero)
        }
    }

    @Test func hugeDurationsAreForEver() async throws {
        for environment in [true, false] {
            let body: @Sendable () async throws -> Void = {
                let broker = MemoryBroker()
                let ever = Duration.seconds(Int64.max)
                let subscription = try await broker.subscribe(
                    TopicPattern("t"), group: nil,
                    options: SubscriptionOptions(
                        ackTimeout: ever, backoff: RedeliveryBackoff(initial: ever, maximum: ever)))
                try await broker.publish(
                    Message(topic: "t", body: [], delivery: .after(ever)), timeout: ever)
                try await broker.publish(Message(topic: "t", body: [1]), timeout: ever)
                let delivery = try #require(try await subscription.next())
                #expect(delivery.message.body == [1])
                try await broker.environment.clock.sleep(for: .milliseconds(5))
                try await delivery.retry(after: ever)
                try await broker.publish("value", to: "t")
                let handled = Handled()
                try await subscription.consume(as: String.self) { value, context in
                    try await context.clock.sleep(for: .milliseconds(5))
                    handled.all.withLock { $0[value] = [] }
                    await subscription.unsubscribe(timeout: .zero)
                }
                #expect(handled.all.withLock { $0.keys.sorted() } == ["value"])
                await broker.close(timeout: ever)

                let store = MemoryStore()
                try await store.write("1", at: "a", ttl: ever)
                try await broker.environment.clock.sleep(for: .milliseconds(5))
                #expect(try await store.read("a") == "1")

                let sync = MemorySync()
                try await sync.withLock("a", ttl: ever, timeout: ever) { lease in
                    try await lease.clock.sleep(for: .milliseconds(5))
                }
            }
            if environment {
                try await withSimulation(seed: 1, body)
            } else {
                try await body()
            }
        }
    }

    /// A publisher waits for one slow group, and doesn't hold up those who publish to others.
    @Test func slowGroupsHoldUpOnlyTheirOwn() async throws {
        try await withSimulation(seed: 1) {
            let broker = MemoryBroker()
            let clock = broker.environment.clock
            let slow = try await broker.subscribe(
                TopicPattern("slow"), group: nil, options: SubscriptionOptions(capacity: 1))
            let fast = try await broker.subscribe(TopicPattern("fast"))
            try await broker.publish(Message(topic: "slow", body: [1]))
            let waiting = broker.environment.spawn {
                _ = try? await broker.publish(
                    Message(topic: "slow", body: [2]), timeout: .seconds(60))
            }
            try await clock.sleep(for: .milliseconds(1))
            try await broker.publish(Message(topic: "fast", body: [3]), timeout: .zero)
            #expect(try await fast.next()?.message.body == [3])
            // With the slow group gone, nobody is left to wait for.
            await slow.unsubscribe(timeout: .zero)
            await waiting.wait()
            #expect(clock.now.nanoseconds < 60_000_000_000)
            await broker.close(timeout: .zero)
        }
    }

    @Test func publishersAreServedInOrder() async throws {
        try await withSimulation(seed: 1) {
            let broker = MemoryBroker()
            let subscription = try await broker.subscribe(
                TopicPattern("t"), group: nil,
                options: SubscriptionOptions(concurrency: 1, capacity: 1))
            try await broker.publish(Message(topic: "t", body: [0]))
            var publishers: [SpawnedTask] = []
            for number in 1...20 as ClosedRange<UInt8> {
                publishers.append(
                    broker.environment.spawn {
                        _ = try? await broker.publish(
                            Message(topic: "t", body: [number]), timeout: .seconds(60))
                    })
                try await broker.environment.clock.sleep(for: .milliseconds(1))
            }
            var received: [UInt8] = []
            for _ in 0...20 {
                let delivery = try #require(try await subscription.next())
                received += delivery.message.body
                try await delivery.acknowledge()
            }
            #expect(received == Array(0...20))
            for publisher in publishers { await publisher.wait() }
            await broker.close(timeout: .zero)
        }
    }

    /// A dead letter that has no room waits, and its group feels it.
    @Test func deadLettersAreNotLostToAFullQueue() async throws {
        try await withSimulation(seed: 1) {
            let broker = MemoryBroker()
            let dead = try await broker.subscribe(
                TopicPattern("$dead.>"), group: nil,
                options: SubscriptionOptions(concurrency: 1, capacity: 1, overflow: .refuse))
            let subscription = try await broker.subscribe(
                TopicPattern("t"), group: nil, options: SubscriptionOptions(capacity: 3))
            for number in 0..<3 as Range<UInt8> {
                try await broker.publish(Message(topic: "t", body: [number]))
                try await subscription.next()?.discard(reason: "bad")
            }
            try await broker.publish(Message(topic: "t", body: [9]))
            await expectError(.deadlineExceeded) {
                try await broker.publish(
                    Message(topic: "t", body: [10]), timeout: .milliseconds(50))
            }
            var letters: [UInt8] = []
            for _ in 0..<3 {
                let letter = try #require(try await dead.next())
                letters += letter.message.body
                try await letter.acknowledge()
            }
            #expect(letters == [0, 1, 2])
            try await broker.publish(Message(topic: "t", body: [10]), timeout: .zero)
            for body in [9, 10] as [UInt8] {
                let delivery = try #require(try await subscription.next())
                #expect(delivery.message.body == [body])
                try await delivery.acknowledge()
            }

            // A key goes on as soon as its dead letter is accepted, and not before.
            for number in 20...22 as ClosedRange<UInt8> {
                try await broker.publish(Message(topic: "t", key: "k", body: [number]))
            }
            try await subscription.next()?.discard(reason: "fills the queue")
            try await subscription.next()?.discard(reason: "has to wait")
            async let third = subscription.next()
            let clock = broker.environment.clock
            let before = clock.now
            try await clock.sleep(for: .seconds(1))
            try await dead.next()?.acknowledge()
            #expect(try await third?.message.body == [22])
            #expect(before.duration(to: clock.now) == .seconds(1))
            await broker.close(timeout: .zero)
        }
    }

    @Test func aBrokerThatNobodyHoldsIsGone() async throws {
        try await withSimulation(seed: 1) {
            weak var gone: MemoryBroker?
            do {
                let broker = MemoryBroker()
                gone = broker
                let subscription = try await broker.subscribe(TopicPattern("t"))
                try await broker.publish(Message(topic: "t", body: []))
                try await subscription.next()?.acknowledge()
                try await broker.publish(
                    Message(topic: "t", body: [], delivery: .after(.seconds(900))))
            }
            #expect(gone == nil)
        }
    }

    /// The same seed gives the same run, whatever the hash seed of the process.
    @Test func isDeterministic() async throws {
        func run() async throws -> [String] {
            try await withSimulation(seed: 9) {
                let broker = MemoryBroker()
                let environment = broker.environment
                let log = Mutex<[String]>([])
                var consumers: [SpawnedTask] = []
                for member in 0..<6 {
                    consumers.append(
                        environment.spawn {
                            try? await broker.consume("t.*", group: "g\(member % 2)") {
                                (value: Int, context) in
                                let random = environment.random()
                                log.withLock { $0.append("\(member) \(value) \(random % 7)") }
                                try await environment.clock.sleep(
                                    for: .milliseconds(Int64(random % 20)))
                                if random % 5 == 0 { throw MicroError("test", .internal, "no") }
                            }
                        })
                }
                try await environment.clock.sleep(for: .milliseconds(5))
                for number in 0..<60 {
                    try await broker.publish(number, to: "t.\(number % 3)", key: "k\(number % 7)")
                }
                try await environment.clock.sleep(for: .seconds(120))
                for consumer in consumers { consumer.cancel() }
                for consumer in consumers { await consumer.wait() }
                await broker.close(timeout: .zero)
                return log.withLock { $0 }
            }
        }
        let first = try await run()
        #expect(first.count > 120)
        #expect(try await run() == first)
    }

    private final class Handled: Sendable {
        let all = Mutex<[String: Set<Int>]>([:])
    }

    /// Real threads, failures and members that come and go: every group handles every message.
    @Test(.timeLimit(.minutes(1))) func nothingIsLostOnThreads() async throws {
        let broker = MemoryBroker()
        let environment = broker.environment
        let count = 2_000
        let handled = Handled()
        let options = SubscriptionOptions(
            concurrency: 4, capacity: 64, maxDeliveries: nil,
            backoff: RedeliveryBackoff(initial: .milliseconds(1), maximum: .milliseconds(5)))
        let consume: @Sendable (String) -> SpawnedTask = { group in
            environment.spawn {
                try? await broker.consume("t", group: group, options: options) {
                    (value: Int, _) in
                    if environment.random() % 8 == 0 { throw MicroError("test", .internal, "no") }
                    _ = handled.all.withLock { $0[group, default: []].insert(value) }
                }
            }
        }
        let stable = ["a", "b"].map(consume)
        try await environment.clock.sleep(for: .milliseconds(50))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for publisher in 0..<4 {
                group.addTask {
                    for number in 0..<(count / 4) {
                        let value = publisher * (count / 4) + number
                        try await broker.publish(value, to: "t", key: "k\(value % 50)")
                    }
                }
            }
            group.addTask {
                for _ in 0..<20 {
                    let guest = consume("a")
                    try await environment.clock.sleep(for: .milliseconds(5))
                    guest.cancel()
                    await guest.wait()
                }
            }
            try await group.waitForAll()
        }
        while handled.all.withLock({ $0.values.contains { $0.count < count } || $0.count < 2 }) {
            try await environment.clock.sleep(for: .milliseconds(5))
        }
        for consumer in stable { consumer.cancel() }
        for consumer in stable { await consumer.wait() }
        #expect(handled.all.withLock { $0["a"] } == Set(0..<count))
        #expect(handled.all.withLock { $0["b"] } == Set(0..<count))
        await broker.close()
    }
}
