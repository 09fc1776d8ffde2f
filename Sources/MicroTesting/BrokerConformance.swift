public import Micro

/// What every ``Broker`` does, as checks that an implementation runs in its own tests.
///
/// ```swift
/// @Test func conforms() async throws {
///     try await withSimulation(seed: 1) {
///         try await BrokerConformance { MemoryBroker() }.run()
///     }
/// }
/// ```
/// Each check gets a broker of its own, closed afterwards. What must not happen is ruled out by
/// something that happens after it, or by waiting `pause` on the broker's clock.
public struct BrokerConformance: Sendable {
    private let make: @Sendable () async throws -> any Broker
    private let patience: Duration
    private let pause: Duration

    /// A suite for one implementation.
    ///
    /// - Parameters:
    ///   - patience: How long to wait for something before it counts as missing.
    ///   - pause: A time in which a message would have arrived.
    ///   - make: Makes a broker that nobody else uses.
    public init(
        patience: Duration = .seconds(30), pause: Duration = .milliseconds(200),
        make: @escaping @Sendable () async throws -> any Broker
    ) {
        self.make = make
        self.patience = patience
        self.pause = pause
    }

    /// The checks that failed, and how.
    public typealias Failure = ConformanceFailure

    /// The names of the checks, in the order they are run.
    public static var checks: [String] { all.map(\.name) }

    /// Runs all checks, or those named.
    ///
    /// - Throws: ``Failure`` with every check that failed; `CancellationError`.
    public func run(_ names: [String]? = nil) async throws {
        try await runChecks(Self.all, only: names, name: { $0.name }) { check in
            let broker = try await make()
            do {
                try await check.body(self)(broker)
                await broker.close(timeout: .zero)
            } catch {
                await broker.close(timeout: .zero)
                throw error
            }
        }
    }

    private struct Check: Sendable {
        var name: String
        var body: @Sendable (BrokerConformance) -> (any Broker) async throws -> Void
    }

    private static let all: [Check] = [
        Check(name: "every subscription gets the whole message") { $0.fanOut },
        Check(name: "each group gets a message once") { $0.groups },
        Check(name: "a group is known by name and pattern") { $0.groupsByPattern },
        Check(name: "members of a group agree on its options") { $0.groupOptions },
        Check(name: "wildcards choose topics") { $0.wildcards },
        Check(name: "a message without subscribers is accepted") { $0.nobody },
        Check(name: "what is wrong is refused") { $0.refusals },
        Check(name: "a key is in order, also when a message fails") { $0.keyOrder },
        Check(name: "keys go in parallel") { $0.parallelKeys },
        Check(name: "deliveries out are limited") { $0.concurrency },
        Check(name: "a retry comes when it was asked for") { $0.retryDelay },
        Check(name: "the backoff grows") { $0.backoff },
        Check(name: "an unsettled delivery expires and comes again") { $0.ackTimeout },
        Check(name: "a delivery is settled once") { $0.settledOnce },
        Check(name: "a message that fails too often becomes a dead letter") { $0.poison },
        Check(name: "a discarded message becomes a dead letter at once") { $0.discarding },
        Check(name: "a dead letter never becomes one again") { $0.deadForGood },
        Check(name: "a delayed message comes in its time") { $0.delayed },
        Check(name: "a full queue makes publishing wait") { $0.backpressure },
        Check(name: "a publisher that gives up has published nothing") { $0.cancelledPublisher },
        Check(name: "a full queue that refuses refuses for all") { $0.refusing },
        Check(name: "a full queue that drops drops the oldest") { $0.dropping },
        Check(name: "unsubscribing waits for what is out") { $0.draining },
        Check(name: "what a member leaves goes to the others") { $0.leaving },
        Check(name: "a forgotten subscription ends") { $0.abandoning },
        Check(name: "a cancelled wait takes no message along") { $0.cancelledNext },
        Check(name: "closing ends everything") { $0.closing },
        Check(name: "values travel typed, and garbage becomes a dead letter") { $0.typed },
        Check(name: "a handler that throws gets it again, then it is dead") { $0.handlers },
        Check(name: "a handler that takes too long is cancelled") { $0.slowHandlers },
        Check(name: "unsubscribing lets handlers finish") { $0.gracefulHandlers },
        Check(name: "a cancelled consumer gives its messages back") { $0.cancelledConsumer },
    ]

    // MARK: Tools

    private func next(_ subscription: Subscription, _ broker: any Broker) async throws -> Delivery {
        let patience = patience
        let found = try await within(patience, broker.environment) { try await subscription.next() }
        guard let found, let delivery = found else {
            throw Wrong(
                found == nil
                    ? "no message on \(subscription.pattern) within \(patience)"
                    : "the subscription on \(subscription.pattern) has ended")
        }
        return delivery
    }

    private func expectSilence(_ subscription: Subscription, _ broker: any Broker) async throws {
        let found = try? await within(pause, broker.environment) { try await subscription.next() }
        if let found, let delivery = found {
            try require(
                false, "\(subscription.pattern) got \(delivery.message.text), expected nothing")
        }
    }

    /// Handles the deliveries of subscriptions until `isDone`, and for a pause more, in which
    /// anything that is too much would come.
    private func run(
        _ subscriptions: [Subscription], until isDone: @escaping @Sendable () async -> Bool,
        _ broker: any Broker, _ body: @escaping @Sendable (Int, Delivery) async throws -> Void
    ) async throws {
        let clock = broker.environment.clock
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, subscription) in subscriptions.enumerated() {
                group.addTask {
                    try await withThrowingTaskGroup(of: Void.self) { handlers in
                        while let delivery = try await subscription.next() {
                            handlers.addTask { try await body(index, delivery) }
                        }
                        try await handlers.waitForAll()
                    }
                }
            }
            group.addTask {
                let end = clock.now.advanced(by: patience)
                while await !isDone(), clock.now < end {
                    try await clock.sleep(for: .milliseconds(10))
                }
                try await clock.sleep(for: pause)
                for subscription in subscriptions {
                    await subscription.unsubscribe(timeout: patience)
                }
            }
            try await group.waitForAll()
        }
    }

    private func pattern(_ text: String) throws -> TopicPattern { try TopicPattern(text) }

    private func publish(
        _ texts: [String], to topic: String, key: String? = nil, _ broker: any Broker
    ) async throws {
        for text in texts {
            try await broker.publish(Message(topic: topic, key: key, body: Array(text.utf8)))
        }
    }

    // MARK: Who gets what

    private func fanOut(_ broker: any Broker) async throws {
        let first = try await broker.subscribe(pattern("orders.created"))
        let second = try await broker.subscribe(pattern("orders.created"))
        let sent = Message(
            topic: "orders.created", key: "7", headers: ["tenant": "acme"],
            contentType: "text/plain", body: [1, 2, 3])
        let receipt = try await broker.publish(sent)
        try require(!receipt.id.isEmpty, "the receipt has no id")
        for subscription in [first, second] {
            let delivery = try await next(subscription, broker)
            var expected = sent
            expected.id = receipt.id
            try expect(expected, delivery.message, "message")
            try expect(1, delivery.deliveries, "deliveries")
            try await delivery.acknowledge()
        }
        let own = try await broker.publish(Message(id: "mine", topic: "orders.created", body: []))
        try expect("mine", own.id, "id of the receipt")
        let delivery = try await next(first, broker)
        try expect("mine", delivery.message.id, "id")
        try await delivery.acknowledge()
    }

    private func groups(_ broker: any Broker) async throws {
        let count = 60
        let names = ["billing", "billing", "billing", "audit", "audit"]
        var subscribed: [(group: String, subscription: Subscription)] = []
        for name in names {
            subscribed.append((name, try await broker.subscribe(pattern("orders.*"), group: name)))
        }
        let members = subscribed
        let texts = (0..<count).map { "m\($0)" }
        try await publish(texts, to: "orders.created", broker)
        let log = Log()
        try await run(members.map(\.subscription), until: { await log.count >= 2 * count }, broker)
        {
            member, delivery in
            await log.begin(members[member].group, delivery.message.text)
            try await delivery.acknowledge()
        }
        for name in ["billing", "audit"] {
            try expect(texts.sorted(), await log.texts(name).sorted(), "of \(name)")
        }
    }

    private func groupsByPattern(_ broker: any Broker) async throws {
        let all = try await broker.subscribe(pattern("orders.*"), group: "audit")
        let created = try await broker.subscribe(pattern("orders.created"), group: "audit")
        try await publish(["a"], to: "orders.created", broker)
        for subscription in [all, created] {
            let delivery = try await next(subscription, broker)
            try expect("a", delivery.message.text, "message")
            try await delivery.acknowledge()
        }
    }

    private func groupOptions(_ broker: any Broker) async throws {
        let pattern = try pattern("orders.*")
        let first = try await broker.subscribe(
            pattern, group: "g", options: SubscriptionOptions(concurrency: 1))
        let second = try await broker.subscribe(
            pattern, group: "g", options: SubscriptionOptions(concurrency: 2))
        try await expectError(.failedPrecondition, "another maxDeliveries in the group") {
            _ = try await broker.subscribe(
                pattern, group: "g", options: SubscriptionOptions(maxDeliveries: 9))
        }
        await first.unsubscribe()
        await second.unsubscribe()
        let later = try await broker.subscribe(
            pattern, group: "h", options: SubscriptionOptions(maxDeliveries: 9))
        await later.unsubscribe()
    }

    private func wildcards(_ broker: any Broker) async throws {
        let one = try await broker.subscribe(pattern("orders.*"))
        let rest = try await broker.subscribe(pattern("orders.>"))
        let middle = try await broker.subscribe(pattern("*.eu.created"))
        let topics = ["orders", "orders.created", "orders.eu.created", "stock.eu.created"]
        for topic in topics { try await publish([topic], to: topic, broker) }
        try await publish(["end"], to: "orders.end", broker)
        try await publish(["end"], to: "orders.eu.created", broker)
        let expectations = [
            (one, ["orders.created", "end"]),
            (rest, ["orders.created", "orders.eu.created", "end", "end"]),
            (middle, ["orders.eu.created", "stock.eu.created", "end"]),
        ]
        for (subscription, texts) in expectations {
            var found: [String] = []
            for _ in texts {
                let delivery = try await next(subscription, broker)
                found.append(delivery.message.text)
                try await delivery.acknowledge()
            }
            try expect(texts.sorted(), found.sorted(), "on \(subscription.pattern)")
            try await expectSilence(subscription, broker)
        }
    }

    private func nobody(_ broker: any Broker) async throws {
        try await publish(["lost"], to: "orders.created", broker)
        let subscription = try await broker.subscribe(pattern("orders.created"))
        try await publish(["found"], to: "orders.created", broker)
        let delivery = try await next(subscription, broker)
        try expect("found", delivery.message.text, "message")
        try await delivery.acknowledge()
    }

    private func refusals(_ broker: any Broker) async throws {
        for topic in ["", "orders.*", "a..b", ".a", "a b", ">", "$dead.a", "a\u{0}b"] {
            try await expectError(.invalidArgument, "topic \"\(topic)\"") {
                try await broker.publish(Message(topic: topic, body: []))
            }
        }
        let options = [
            SubscriptionOptions(concurrency: 0), SubscriptionOptions(capacity: 0),
            SubscriptionOptions(ackTimeout: .zero), SubscriptionOptions(maxDeliveries: 0),
            SubscriptionOptions(backoff: RedeliveryBackoff(factor: .nan)),
        ]
        for option in options {
            try await expectError(.invalidArgument, "options \(option)") {
                _ = try await broker.subscribe(pattern("a"), group: nil, options: option)
            }
        }
        for group in ["", "a b", "a\n", String(repeating: "g", count: 129)] {
            try await expectError(.invalidArgument, "group \"\(group)\"") {
                _ = try await broker.subscribe(pattern("a"), group: group)
            }
        }
    }

    // MARK: Order

    private func keyOrder(_ broker: any Broker) async throws {
        let subscription = try await broker.subscribe(pattern("orders.*"), group: "g")
        try await publish(["a1", "a2"], to: "orders.x", key: "a", broker)
        try await publish(["b1"], to: "orders.x", key: "b", broker)
        let a1 = try await next(subscription, broker)
        let b1 = try await next(subscription, broker)
        try expect(["a1", "b1"], [a1.message.text, b1.message.text], "first of each key")
        try await expectSilence(subscription, broker)
        try await a1.retry(after: .milliseconds(100))
        try await b1.acknowledge()
        let again = try await next(subscription, broker)
        try expect("a1", again.message.text, "after the failure of a1")
        try expect(2, again.deliveries, "deliveries of a1")
        try await expectSilence(subscription, broker)
        try await again.acknowledge()
        let a2 = try await next(subscription, broker)
        try expect("a2", a2.message.text, "after a1")
        try await a2.acknowledge()
    }

    private func parallelKeys(_ broker: any Broker) async throws {
        let options = SubscriptionOptions(concurrency: 8)
        let members = [
            try await broker.subscribe(pattern("t"), group: "g", options: options),
            try await broker.subscribe(pattern("t"), group: "g", options: options),
        ]
        let keys = ["a", "b", "c", "d"]
        let count = 10
        for number in 0..<count {
            for key in keys { try await publish(["\(key)\(number)"], to: "t", key: key, broker) }
        }
        let clock = broker.environment.clock
        let log = Log()
        let total = count * keys.count
        try await run(members, until: { await log.count >= total }, broker) { _, delivery in
            let key = delivery.message.key ?? ""
            await log.begin(key, delivery.message.text)
            try await clock.sleep(for: .milliseconds(10))
            await log.end(key)
            try await delivery.acknowledge()
        }
        for key in keys {
            try expect(
                (0..<count).map { "\(key)\($0)" }, await log.texts(key), "order of key \(key)")
        }
        try expect(0, await log.overlaps, "messages of one key at the same time")
        try require(await log.most > 1, "the keys went one after the other")
        try expect(total, await log.count, "messages")
    }

    private actor Log {
        private var byKey: [String: [String]] = [:]
        private var running: [String: Int] = [:]
        var overlaps = 0
        var most = 0
        var count = 0

        func begin(_ key: String, _ text: String) {
            byKey[key, default: []].append(text)
            running[key, default: 0] += 1
            if running[key, default: 0] > 1 { overlaps += 1 }
            most = max(most, running.values.reduce(0, +))
            count += 1
        }

        func end(_ key: String) { running[key, default: 0] -= 1 }

        func texts(_ key: String) -> [String] { byKey[key, default: []] }
    }

    private func concurrency(_ broker: any Broker) async throws {
        let subscription = try await broker.subscribe(
            pattern("t"), group: nil, options: SubscriptionOptions(concurrency: 2))
        try await publish(["1", "2", "3"], to: "t", broker)
        let first = try await next(subscription, broker)
        let second = try await next(subscription, broker)
        try await expectSilence(subscription, broker)
        try await second.acknowledge()
        let third = try await next(subscription, broker)
        try expect("3", third.message.text, "third message")
        try await first.acknowledge()
        try await third.acknowledge()
    }

    // MARK: Failures

    private func retryDelay(_ broker: any Broker) async throws {
        let clock = broker.environment.clock
        let subscription = try await broker.subscribe(pattern("t"))
        try await publish(["1"], to: "t", broker)
        let first = try await next(subscription, broker)
        let before = clock.now
        try await first.retry(after: .milliseconds(500))
        let second = try await next(subscription, broker)
        let waited = before.duration(to: clock.now)
        try require(waited >= .milliseconds(500), "came after \(waited), expected 500 ms")
        try expect(2, second.deliveries, "deliveries")
        try await second.retry(after: .zero)
        let third = try await next(subscription, broker)
        try expect(3, third.deliveries, "deliveries")
        try await third.acknowledge()
        try await expectSilence(subscription, broker)
    }

    private func backoff(_ broker: any Broker) async throws {
        let clock = broker.environment.clock
        let backoff = RedeliveryBackoff(
            initial: .milliseconds(100), maximum: .milliseconds(300), factor: 2, jitter: 0.2)
        let subscription = try await broker.subscribe(
            pattern("t"), group: nil,
            options: SubscriptionOptions(maxDeliveries: nil, backoff: backoff))
        try await publish(["1"], to: "t", broker)
        var delivery = try await next(subscription, broker)
        for least in [80, 160, 240, 240] {
            let before = clock.now
            try await delivery.retry()
            delivery = try await next(subscription, broker)
            let waited = before.duration(to: clock.now)
            try require(
                waited >= .milliseconds(least), "came after \(waited), expected \(least) ms")
        }
        try await delivery.acknowledge()
    }

    private func ackTimeout(_ broker: any Broker) async throws {
        let clock = broker.environment.clock
        let subscription = try await broker.subscribe(
            pattern("t"), group: nil,
            options: SubscriptionOptions(
                ackTimeout: .milliseconds(400),
                backoff: RedeliveryBackoff(initial: .milliseconds(10))))
        try await publish(["1"], to: "t", broker)
        let before = clock.now
        let first = try await next(subscription, broker)
        let second = try await next(subscription, broker)
        let waited = before.duration(to: clock.now)
        try require(waited >= .milliseconds(400), "came again after \(waited), expected 400 ms")
        try expect(first.message.id, second.message.id, "message")
        try expect(2, second.deliveries, "deliveries")
        try await expectError(
            .failedPrecondition, reason: "DELIVERY_EXPIRED", "settling an expired delivery"
        ) { try await first.acknowledge() }
        try await second.acknowledge()
        try await clock.sleep(for: .milliseconds(600))
        try await expectSilence(subscription, broker)
    }

    private func settledOnce(_ broker: any Broker) async throws {
        let subscription = try await broker.subscribe(pattern("t"))
        try await publish(["1"], to: "t", broker)
        let delivery = try await next(subscription, broker)
        try await delivery.acknowledge()
        let settlements: [(String, () async throws -> Void)] = [
            ("acknowledge", { try await delivery.acknowledge() }),
            ("retry", { try await delivery.retry(after: .zero) }),
            ("discard", { try await delivery.discard(reason: "x") }),
        ]
        for (name, settle) in settlements {
            try await expectError(
                .failedPrecondition, reason: "DELIVERY_SETTLED", "\(name) after acknowledge", settle
            )
        }
        try await expectSilence(subscription, broker)
    }

    private func poison(_ broker: any Broker) async throws {
        let dead = try await broker.subscribe(pattern("$dead.orders.>"))
        let subscription = try await broker.subscribe(
            pattern("orders.*"), group: "billing",
            options: SubscriptionOptions(
                maxDeliveries: 3, backoff: RedeliveryBackoff(initial: .milliseconds(10))))
        let receipt = try await broker.publish(
            Message(
                topic: "orders.x", key: "k", headers: ["tenant": "acme"], contentType: "text/plain",
                body: Array("bad".utf8)))
        try await publish(["good"], to: "orders.x", key: "k", broker)
        for count in 1...3 {
            let delivery = try await next(subscription, broker)
            try expect("bad", delivery.message.text, "message")
            try expect(count, delivery.deliveries, "deliveries")
            try await delivery.retry(after: count == 1 ? .zero : nil, reason: "reason \(count)")
        }
        let good = try await next(subscription, broker)
        try expect("good", good.message.text, "the message after the dead one")
        try await good.acknowledge()
        let letter = try await next(dead, broker)
        let message = letter.message
        try expect("$dead.orders.x", message.topic, "topic of the dead letter")
        try expect(receipt.id, message.id, "id of the dead letter")
        try expect("k", message.key, "key of the dead letter")
        try expect("bad", message.text, "body of the dead letter")
        try expect("text/plain", message.contentType, "content type of the dead letter")
        let headers = [
            ("tenant", "acme"), (DeadLetter.topicHeader, "orders.x"),
            (DeadLetter.reasonHeader, "reason 3"), (DeadLetter.deliveriesHeader, "3"),
            (DeadLetter.patternHeader, "orders.*"), (DeadLetter.groupHeader, "billing"),
        ]
        for (name, value) in headers {
            try expect(value, message.headers[name], "header \(name)")
        }
        try await letter.acknowledge()
        try await expectSilence(subscription, broker)
    }

    private func discarding(_ broker: any Broker) async throws {
        let everything = try await broker.subscribe(pattern(">"))
        let dead = try await broker.subscribe(pattern("$dead.>"))
        let subscription = try await broker.subscribe(pattern("orders.*"))
        try await publish(["bad"], to: "orders.x", broker)
        let delivery = try await next(subscription, broker)
        try await delivery.discard(reason: " no such\nthing ")
        let letter = try await next(dead, broker)
        let reason = letter.message.headers[DeadLetter.reasonHeader]
        try expect("no such\\nthing", reason, "reason")
        try letter.message.headers.validate()
        try expect("1", letter.message.headers[DeadLetter.deliveriesHeader], "deliveries")
        try expect(nil, letter.message.headers[DeadLetter.groupHeader], "group")
        try await letter.acknowledge()
        let plain = try await next(everything, broker)
        try expect("orders.x", plain.message.topic, "on >")
        try await plain.acknowledge()
        // Dead letters have to be asked for by name.
        try await expectSilence(everything, broker)
        try await expectSilence(subscription, broker)
    }

    private func deadForGood(_ broker: any Broker) async throws {
        let options = SubscriptionOptions(
            maxDeliveries: 2, backoff: RedeliveryBackoff(initial: .milliseconds(10)))
        let dead = try await broker.subscribe(pattern("$dead.>"), group: "g", options: options)
        let subscription = try await broker.subscribe(pattern("t"))
        try await publish(["bad"], to: "t", broker)
        try await next(subscription, broker).discard(reason: "bad")
        for count in 1...5 {
            let letter = try await next(dead, broker)
            try expect("$dead.t", letter.message.topic, "topic")
            try expect(count, letter.deliveries, "deliveries")
            if count < 5 {
                try await letter.retry(after: .zero)
            } else {
                try await letter.discard(reason: "enough")
            }
        }
        try await expectSilence(dead, broker)
    }

    private func delayed(_ broker: any Broker) async throws {
        let clock = broker.environment.clock
        let subscription = try await broker.subscribe(pattern("t"))
        let before = clock.now
        try await broker.publish(
            Message(
                topic: "t", key: "k", body: Array("later".utf8),
                delivery: .after(.milliseconds(500))))
        try await publish(["now"], to: "t", key: "k", broker)
        let now = try await next(subscription, broker)
        try expect("now", now.message.text, "first message")
        try await now.acknowledge()
        let later = try await next(subscription, broker)
        let waited = before.duration(to: clock.now)
        try expect("later", later.message.text, "second message")
        try require(waited >= .milliseconds(500), "came after \(waited), expected 500 ms")
        try await later.acknowledge()
    }

    // MARK: Bounds

    private func backpressure(_ broker: any Broker) async throws {
        let subscription = try await broker.subscribe(
            pattern("t"), group: nil, options: SubscriptionOptions(concurrency: 1, capacity: 2))
        try await publish(["1", "2"], to: "t", broker)
        try await expectError(.deadlineExceeded, "publishing to a full queue") {
            try await broker.publish(
                Message(topic: "t", body: Array("no".utf8)), timeout: .milliseconds(100))
        }
        let environment = broker.environment
        let publisher = environment.spawn {
            for text in ["3", "4", "5"] {
                _ = try? await broker.publish(
                    Message(topic: "t", body: Array(text.utf8)), timeout: .seconds(30))
            }
        }
        for text in ["1", "2", "3", "4", "5"] {
            let delivery = try await next(subscription, broker)
            try expect(text, delivery.message.text, "message")
            try await delivery.acknowledge()
        }
        await publisher.wait()
        try await expectSilence(subscription, broker)
    }

    private func cancelledPublisher(_ broker: any Broker) async throws {
        let subscription = try await broker.subscribe(
            pattern("t"), group: nil, options: SubscriptionOptions(capacity: 1))
        try await publish(["1"], to: "t", broker)
        let waiting = broker.environment.spawn {
            _ = try? await broker.publish(
                Message(topic: "t", body: Array("no".utf8)), timeout: .seconds(30))
        }
        try await broker.environment.clock.sleep(for: .milliseconds(50))
        waiting.cancel()
        await waiting.wait()
        let delivery = try await next(subscription, broker)
        try expect("1", delivery.message.text, "message")
        try await delivery.acknowledge()
        try await expectSilence(subscription, broker)
    }

    private func refusing(_ broker: any Broker) async throws {
        let other = try await broker.subscribe(pattern("t"))
        let subscription = try await broker.subscribe(
            pattern("t"), group: nil, options: SubscriptionOptions(capacity: 1, overflow: .refuse))
        try await publish(["1"], to: "t", broker)
        try await expectError(.resourceExhausted, "publishing to a full queue") {
            try await publish(["2"], to: "t", broker)
        }
        for subscription in [other, subscription] {
            let delivery = try await next(subscription, broker)
            try expect("1", delivery.message.text, "message")
            try await delivery.acknowledge()
            try await expectSilence(subscription, broker)
        }
    }

    private func dropping(_ broker: any Broker) async throws {
        let subscription = try await broker.subscribe(
            pattern("t"), group: nil,
            options: SubscriptionOptions(concurrency: 1, capacity: 2, overflow: .dropOldest))
        try await publish(["0"], to: "t", key: "a", broker)
        let first = try await next(subscription, broker)
        try await publish(["1", "2"], to: "t", key: "a", broker)
        try await publish(["3"], to: "t", key: "b", broker)
        try await publish(["4"], to: "t", key: "a", broker)
        try expect(2, subscription.dropped, "dropped")
        try await first.acknowledge()
        var texts: [String] = []
        for _ in 0..<2 {
            let delivery = try await next(subscription, broker)
            texts.append(delivery.message.text)
            try await delivery.acknowledge()
        }
        try expect(["3", "4"], texts.sorted(), "messages left")
        try await expectSilence(subscription, broker)
    }

    // MARK: The end

    private func draining(_ broker: any Broker) async throws {
        let clock = broker.environment.clock
        let subscription = try await broker.subscribe(pattern("t"))
        try await publish(["1", "2"], to: "t", broker)
        let first = try await next(subscription, broker)
        let second = try await next(subscription, broker)
        let before = clock.now
        let settling = broker.environment.spawn {
            try? await clock.sleep(for: .milliseconds(300))
            try? await first.acknowledge()
            try? await second.retry(after: .seconds(60))
        }
        await subscription.unsubscribe(timeout: .seconds(30))
        let waited = before.duration(to: clock.now)
        try require(waited >= .milliseconds(300), "returned after \(waited), expected 300 ms")
        try require(waited < .seconds(30), "returned at the timeout only")
        await settling.wait()
        try require(try await subscription.next() == nil, "the sequence goes on")

        let stuck = try await broker.subscribe(pattern("t"))
        try await publish(["3"], to: "t", broker)
        let third = try await next(stuck, broker)
        await stuck.unsubscribe(timeout: .milliseconds(100))
        try await expectError(.failedPrecondition, "settling after the end") {
            try await third.acknowledge()
        }
    }

    private func leaving(_ broker: any Broker) async throws {
        let options = SubscriptionOptions(concurrency: 1, maxDeliveries: 1)
        let first = try await broker.subscribe(pattern("t"), group: "g", options: options)
        let second = try await broker.subscribe(pattern("t"), group: "g", options: options)
        try await publish(["1"], to: "t", broker)
        let lost = try await next(first, broker)
        await first.unsubscribe(timeout: .zero)
        let found = try await next(second, broker)
        try expect(lost.message.id, found.message.id, "message")
        // It has not failed: so this isn't the second of one delivery, which would be its death.
        try await found.acknowledge()
        try await expectError(.failedPrecondition, "settling what went to others") {
            try await lost.acknowledge()
        }
    }

    private func abandoning(_ broker: any Broker) async throws {
        let second = try await broker.subscribe(pattern("t"), group: "g")
        do {
            let first = try await broker.subscribe(pattern("t"), group: "g")
            try await publish(["1", "2"], to: "t", broker)
            _ = try await next(first, broker)
        }
        var texts: [String] = []
        for _ in 0..<2 {
            let delivery = try await next(second, broker)
            texts.append(delivery.message.text)
            try await delivery.acknowledge()
        }
        try expect(["1", "2"], texts.sorted(), "messages")
    }

    private func cancelledNext(_ broker: any Broker) async throws {
        let subscription = try await broker.subscribe(
            pattern("t"), group: nil, options: SubscriptionOptions(concurrency: 1))
        try await expectSilence(subscription, broker)  // its wait is cancelled
        try await publish(["1"], to: "t", broker)
        let delivery = try await next(subscription, broker)
        try expect(1, delivery.deliveries, "deliveries")
        try await delivery.acknowledge()
    }

    private func closing(_ broker: any Broker) async throws {
        let clock = broker.environment.clock
        let waiting = try await broker.subscribe(pattern("u"))
        let subscription = try await broker.subscribe(pattern("t"))
        try await publish(["1"], to: "t", broker)
        let delivery = try await next(subscription, broker)
        let before = clock.now
        let settling = broker.environment.spawn {
            try? await clock.sleep(for: .milliseconds(200))
            try? await delivery.acknowledge()
        }
        async let ended = waiting.next()
        await broker.close(timeout: .seconds(30))
        let waited = before.duration(to: clock.now)
        try require(waited >= .milliseconds(200), "closed after \(waited), expected 200 ms")
        try require(waited < .seconds(30), "closed at the timeout only")
        await settling.wait()
        try require(try await ended == nil, "a waiting subscription goes on")
        try require(try await subscription.next() == nil, "a subscription goes on")
        try await expectError(.unavailable, "publishing") {
            try await publish(["2"], to: "t", broker)
        }
        try await expectError(.unavailable, "subscribing") {
            _ = try await broker.subscribe(pattern("t"))
        }
        await broker.close(timeout: .seconds(30))
    }

    // MARK: Typed

    private struct Order: Codable, Sendable, Equatable {
        var id: String
        var total: Int
    }

    private func typed(_ broker: any Broker) async throws {
        let dead = try await broker.subscribe(pattern("$dead.>"))
        let orders = try await broker.messages("orders.>", group: "audit", as: Order.self)
        try await broker.publish(
            Message(
                topic: "orders.created", contentType: "application/json", body: Array("{}".utf8)))
        try await broker.publish(
            Message(topic: "orders.created", contentType: "application/x-unknown", body: [1]))
        let order = Order(id: "7", total: 10)
        try await broker.publish(
            order, to: "orders.created", key: "7", headers: ["tenant": "acme"])
        let subscription = orders
        let found = try await within(patience, broker.environment) {
            var iterator = subscription.makeAsyncIterator()
            return try await iterator.next()
        }
        guard let found, let message = found else { return try require(false, "no order came") }
        try expect(order, message.value, "value")
        try expect("orders.created", message.topic, "topic")
        try expect("7", message.key, "key")
        try expect("acme", message.headers["tenant"], "header")
        try await message.acknowledge()
        for _ in 0..<2 {
            let letter = try await next(dead, broker)
            let reason = letter.message.headers[DeadLetter.reasonHeader] ?? ""
            try require(reason.hasPrefix("cannot be decoded"), "reason \"\(reason)\"")
            try await letter.acknowledge()
        }
    }

    private actor Calls {
        var values: [String] = []
        var failures: [String] = []
        var cancellations = 0
        func add(_ value: String) { values.append(value) }
        func fail(_ text: String) { failures.append(text) }
        func cancelled() { cancellations += 1 }
    }

    private func handlers(_ broker: any Broker) async throws {
        let calls = Calls()
        let dead = try await broker.subscribe(pattern("$dead.t"))
        let options = SubscriptionOptions(
            maxDeliveries: 3, backoff: RedeliveryBackoff(initial: .milliseconds(10)))
        let environment = broker.environment
        let subscription = try await broker.subscribe(pattern("t"), group: "g", options: options)
        let consumer = environment.spawn {
            try? await subscription.consume(
                as: String.self,
                onFailure: { failure in
                    let text = "\(failure.message.id) \(failure.deliveries)"
                    environment.spawn { await calls.fail(text) }
                }
            ) { value, context in
                await calls.add("\(value) \(context.deliveries)")
                if value == "bad" || (value == "once" && context.deliveries == 1) {
                    throw MicroError("handler", .internal, "cannot do \(value)")
                }
            }
        }
        for text in ["good", "once", "bad"] {
            let body = try JSONCodec().encode(text)
            try await broker.publish(
                Message(id: text, topic: "t", contentType: "application/json", body: body))
        }
        let letter = try await next(dead, broker)
        try expect("bad", letter.message.id, "dead letter")
        let reason = letter.message.headers[DeadLetter.reasonHeader] ?? ""
        try require(reason.contains("cannot do bad"), "reason \"\(reason)\"")
        try await letter.acknowledge()
        await subscription.unsubscribe(timeout: .seconds(30))
        await consumer.wait()
        try await environment.clock.sleep(for: .milliseconds(50))
        try expect(
            ["bad 1", "bad 2", "bad 3", "good 1", "once 1", "once 2"], await calls.values.sorted(),
            "calls")
        try expect(
            ["bad 1", "bad 2", "bad 3", "once 1"], await calls.failures.sorted(), "failures")
    }

    private func slowHandlers(_ broker: any Broker) async throws {
        let calls = Calls()
        let dead = try await broker.subscribe(pattern("$dead.t"))
        let clock = broker.environment.clock
        let options = SubscriptionOptions(
            ackTimeout: .milliseconds(500), maxDeliveries: 2,
            backoff: RedeliveryBackoff(initial: .milliseconds(10)))
        let subscription = try await broker.subscribe(pattern("t"), group: "g", options: options)
        let consumer = broker.environment.spawn {
            try? await subscription.consume(as: String.self) { value, context in
                await calls.add("\(value) \(context.deliveries)")
                do {
                    try await clock.sleep(for: .seconds(20))
                } catch {
                    await calls.cancelled()
                    throw error
                }
            }
        }
        try await broker.publish("slow", to: "t")
        let letter = try await next(dead, broker)
        let reason = letter.message.headers[DeadLetter.reasonHeader] ?? ""
        try require(reason.contains("HANDLER_TIMEOUT"), "reason \"\(reason)\"")
        try await letter.acknowledge()
        consumer.cancel()
        await consumer.wait()
        try expect(["slow 1", "slow 2"], await calls.values, "calls")
        try expect(2, await calls.cancellations, "cancelled handlers")
    }

    private func gracefulHandlers(_ broker: any Broker) async throws {
        let calls = Calls()
        let clock = broker.environment.clock
        let subscription = try await broker.subscribe(pattern("t"), group: "g")
        let consumer = broker.environment.spawn {
            try? await subscription.consume(as: String.self) { value, _ in
                await calls.add("begin")
                try await clock.sleep(for: .milliseconds(300))
                await calls.add("end")
            }
        }
        for number in 0..<4 { try await broker.publish("m\(number)", to: "t") }
        try await clock.sleep(for: .milliseconds(100))
        await subscription.unsubscribe(timeout: .seconds(30))
        await consumer.wait()
        let values = await calls.values
        try expect(4, values.filter { $0 == "end" }.count, "handlers that ended")
    }

    private func cancelledConsumer(_ broker: any Broker) async throws {
        let calls = Calls()
        let clock = broker.environment.clock
        let options = SubscriptionOptions(maxDeliveries: 1)
        let other = try await broker.subscribe(
            pattern("t"), group: "g", options: options)
        let consumer = broker.environment.spawn {
            try? await broker.consume("t", group: "g", options: options) { (value: String, _) in
                await calls.add(value)
                try await clock.sleep(for: .seconds(20))
            }
        }
        try await clock.sleep(for: .milliseconds(50))
        try await broker.publish("mine", to: "t")
        try await clock.sleep(for: .milliseconds(50))
        try expect(["mine"], await calls.values, "calls")
        consumer.cancel()
        await consumer.wait()
        let delivery = try await next(other, broker)
        let value: String = try JSONCodec().decode(
            String.self, from: delivery.message.body.span.bytes)
        try expect("mine", value, "message")
        try await delivery.acknowledge()
    }
}

extension Message {
    fileprivate var text: String { String(decoding: body, as: UTF8.self) }
}
