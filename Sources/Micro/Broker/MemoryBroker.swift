internal import Synchronization

/// A broker inside of the process: nothing is stored, nothing leaves the process.
///
/// It has all that ``Broker`` promises. A group lives as long as it has members: when the last one
/// leaves, the messages that wait for the group are gone, and a dead letter that nobody subscribed
/// to is gone too. Deterministic in a simulation.
public final class MemoryBroker: Broker {
    /// "memory".
    public var name: String { "memory" }

    /// Where time, tasks and randomness come from.
    public let environment: Environment

    /// What the typed forms encode and decode with.
    public let codecs: Codecs

    /// The limits it was made with.
    public let options: MemoryBrokerOptions

    private let state: Mutex<MemoryBrokerState>
    private let alarm: Alarm

    /// Makes a broker that nobody else knows.
    public init(
        environment: Environment = .current, codecs: Codecs = Codecs(),
        options: MemoryBrokerOptions = MemoryBrokerOptions()
    ) {
        self.environment = environment
        self.codecs = codecs
        self.options = options
        self.state = Mutex(MemoryBrokerState(environment: environment, limits: options))
        let reference = WeakReference<MemoryBroker>()
        self.alarm = Alarm(environment: environment) { reference.object?.tick() }
        reference.object = self
    }

    // MARK: Broker

    /// Publishes one message and waits until every queue that it goes to has room. See ``Broker``.
    @discardableResult
    public func publish(_ message: Message, timeout: Duration) async throws -> PublishReceipt {
        try check(message)
        var message = message
        if message.id.isEmpty { message.id = newMessageID() }
        let accepted = message
        let call = state.withLock { $0.newID() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let now = environment.clock.now
                let deadline = now.advanced(by: max(.zero, timeout))
                perform { state in
                    if Task.isCancelled {
                        state.refuse(continuation, CancellationError())
                    } else {
                        state.publish(
                            accepted, continuation, call: call, now: now, deadline: deadline)
                    }
                }
            }
        } onCancel: {
            perform { $0.cancelPublish(call) }
        }
    }

    /// Subscribes to topics. See ``Broker``.
    public func subscribe(
        _ pattern: TopicPattern, group: String?, options: SubscriptionOptions
    ) async throws -> Subscription {
        try options.validate(group: group)
        try Task.checkCancellation()
        let member = try perform { state throws(MicroError) in
            try state.subscribe(pattern, group: group, options: options)
        }
        return Subscription(
            pattern: pattern, group: group, options: options, broker: self,
            source: Source(broker: self, member: member))
    }

    /// Ends all subscriptions, and waits for the deliveries that are out. See ``Broker``.
    public func close(timeout: Duration) async {
        guard let members = perform({ $0.close() }) else { return }
        let deadline = environment.clock.now.advanced(by: max(.zero, timeout))
        for member in members { await unsubscribe(member, deadline: deadline) }
        alarm.stop()
    }

    private func check(_ message: Message) throws {
        try TopicPattern.validate(topic: message.topic)
        try message.headers.validate(limits: options.headers)
        let size =
            message.body.count + message.id.utf8.count + (message.key?.utf8.count ?? 0)
            + message.contentType.utf8.count
        guard size <= options.maxMessageBytes else {
            throw MicroError.payloadTooLarge(
                "broker.publish",
                "the message has \(size) bytes, and maxMessageBytes is \(options.maxMessageBytes)")
        }
    }

    private func newMessageID() -> String {
        let digits = [environment.random(), environment.random()].map { bits in
            let text = String(bits, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        return digits.joined()
    }

    // MARK: Subscriptions

    private struct Source: SubscriptionSource {
        let broker: MemoryBroker
        let member: UInt64

        var dropped: UInt64 { broker.state.withLock { $0.dropped(member) } }

        func next() async throws -> Delivery? { try await broker.next(member) }

        func unsubscribe(timeout: Duration) async {
            let deadline = broker.environment.clock.now.advanced(by: max(.zero, timeout))
            await broker.unsubscribe(member, deadline: deadline)
        }

        func abandon() {
            let now = broker.environment.clock.now
            broker.perform { $0.leave(member, now: now) }
        }
    }

    private func next(_ member: UInt64) async throws -> Delivery? {
        let call = state.withLock { $0.newID() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let now = environment.clock.now
                perform { state in
                    if Task.isCancelled {
                        state.refuse(continuation, CancellationError())
                    } else {
                        state.next(member, continuation, call: call, now: now)
                    }
                }
            }
        } onCancel: {
            perform { $0.cancelNext(member, call: call) }
        }
    }

    private func unsubscribe(_ member: UInt64, deadline: EventLoopClock.Instant) async {
        perform { $0.retire(member) }
        if !Task.isCancelled, deadline > environment.clock.now {
            let call = state.withLock { $0.newID() }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    perform { state in
                        let limit = Task.isCancelled ? .init(nanoseconds: 0) : deadline
                        state.drain(member, continuation, call: call, deadline: limit)
                    }
                }
            } onCancel: {
                perform { $0.cancelDrain(member, call: call) }
            }
        }
        let now = environment.clock.now
        perform { $0.leave(member, now: now) }
    }

    private struct Settlement: DeliverySettlement {
        let broker: MemoryBroker
        let group: UInt64
        let member: UInt64
        let ticket: GroupStateMachine.Ticket

        func acknowledge() async throws {
            let now = broker.environment.clock.now
            try broker.perform { state throws(MicroError) in
                try state.acknowledge(group, ticket, member: member, now: now)
            }
        }

        func retry(after delay: Duration?, reason: String) async throws {
            let now = broker.environment.clock.now
            try broker.perform { state throws(MicroError) in
                try state.retry(
                    group, ticket, member: member, after: delay, reason: reason, now: now)
            }
        }

        func discard(reason: String) async throws {
            let now = broker.environment.clock.now
            try broker.perform { state throws(MicroError) in
                try state.discard(group, ticket, member: member, reason: reason, now: now)
            }
        }
    }

    // MARK: The lock

    private func tick() {
        let now = environment.clock.now
        perform { $0.tick(now: now) }
    }

    /// Changes the state, and then, without the lock, resumes whom that concerns.
    @discardableResult
    private func perform<T: Sendable, E: Error>(
        _ body: (inout MemoryBrokerState) throws(E) -> T
    ) throws(E) -> T {
        let (result, effects, alarmTime) = state.withLock { state in
            let result: Result<T, E>
            do throws(E) {
                result = .success(try body(&state))
            } catch {
                result = .failure(error)
            }
            return (result, state.takeEffects(), state.nextAlarm())
        }
        for effect in effects { carryOut(effect) }
        alarm.arm(at: alarmTime)
        return try result.get()
    }

    private func carryOut(_ effect: MemoryBrokerState.Effect) {
        switch effect {
        case .delivered(let continuation, let handout, let group):
            let settlement = Settlement(
                broker: self, group: group, member: handout.member, ticket: handout.ticket)
            continuation.resume(
                returning: Delivery(
                    message: handout.message, deliveries: handout.deliveries,
                    deadline: handout.deadline, settlement: settlement))
        case .ended(let continuation): continuation.resume(returning: nil)
        case .failed(let continuation, let error): continuation.resume(throwing: error)
        case .published(let continuation, let receipt): continuation.resume(returning: receipt)
        case .refused(let continuation, let error): continuation.resume(throwing: error)
        case .drained(let continuation): continuation.resume()
        }
    }
}
