internal import Logging
internal import Synchronization

/// A subscription of a service: recorded before it runs, consumed while it does.
final class RecordedSubscription: Sendable {
    /// What lends the handler its context.
    struct Host: Sendable {
        let service: String
        let environment: Environment
        let logger: Logger
        let client: Client
        let broker: any Broker
    }

    private let pattern: String
    private let group: String?
    private let options: SubscriptionOptions
    private let consume: @Sendable (Subscription, Host) async throws -> Void
    private let running = Mutex<(subscription: Subscription, task: SpawnedTask)?>(nil)

    init<Reader: MessageReading>(
        _ pattern: String, group: String?, options: SubscriptionOptions,
        reading makeReader: @escaping @Sendable (any Broker) -> Reader,
        _ handler: @escaping @Sendable (Reader.Message, Context) async throws -> Void
    ) {
        self.pattern = pattern
        self.group = group
        self.options = options
        self.consume = { subscription, host in
            let reader = makeReader(host.broker)
            try await subscription.consume(reading: reader, onFailure: host.log) {
                value, received in
                let context = host.context(received)
                try await context.bind { try await handler(value, context) }
            }
        }
    }

    /// What is wrong with it, or nil.
    var problem: String? {
        do {
            _ = try TopicPattern(pattern)
            try options.validate(group: group)
            return nil
        } catch {
            return "the subscription to \"\(pattern)\": \(MicroError(error, id: "").detail)"
        }
    }

    func start(_ host: Host) async throws {
        let subscription = try await host.broker.subscribe(
            TopicPattern(pattern), group: group, options: options)
        let task = host.environment.spawn(on: host.environment.loops.next) {
            do {
                try await self.consume(subscription, host)
            } catch is CancellationError {
                // It was told to stop.
            } catch {
                host.logger.error(
                    "the subscription ended",
                    metadata: ["pattern": "\(self.pattern)", "error": "\(error)"])
            }
        }
        running.withLock { $0 = (subscription, task) }
    }

    /// Takes no more messages, and waits for the handlers, `timeout` at most; then they are
    /// cancelled, and their messages go to other members of the group.
    func stop(timeout: Duration) async {
        guard let (subscription, task) = running.withLock({ $0.take() }) else { return }
        await subscription.unsubscribe(timeout: timeout)
        task.cancel()
        await task.wait()
    }
}

extension RecordedSubscription.Host {
    fileprivate func context(_ received: SubscriberContext) -> Context {
        Context(
            scope: CallScope(
                of: CallOrigin(
                    service: service, endpoint: received.message.topic, environment: environment,
                    logger: logger, client: LentClient(client)),
                facts: RequestFacts(
                    metadata: received.message.headers, peer: "", identity: nil),
                deadline: received.deadline))
    }

    fileprivate func log(_ failure: SubscriberFailure) {
        logger.warning(
            "a message was not processed",
            metadata: [
                "topic": "\(failure.message.topic)", "message": "\(failure.message.id)",
                "delivery": "\(failure.deliveries)", "error": "\(failure.error)",
            ])
    }
}
