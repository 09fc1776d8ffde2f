extension Subscription {
    /// Runs `handler` for each message, until the subscription ends; see
    /// ``Broker/consume(_:group:options:onFailure:_:)``.
    ///
    /// Returns when all handlers have returned. To end it well, call ``unsubscribe(timeout:)``: no
    /// more messages come, and the handlers finish. Cancelling this call cancels the handlers, and
    /// gives their messages back to the group, not counted as failures.
    /// - Throws: `CancellationError`; what ``next()`` throws.
    public func consume<Value: Decodable & Sendable>(
        as type: Value.Type = Value.self,
        onFailure: @escaping @Sendable (SubscriberFailure) -> Void = { _ in },
        _ handler: @escaping @Sendable (Value, SubscriberContext) async throws -> Void
    ) async throws {
        try await consume(
            reading: CodableCoding<Value>(broker.codecs), onFailure: onFailure, handler)
    }

    /// The same for values that are read by `reader`.
    public func consume<Reader: MessageReading>(
        reading reader: Reader,
        onFailure: @escaping @Sendable (SubscriberFailure) -> Void = { _ in },
        _ handler: @escaping @Sendable (Reader.Message, SubscriberContext) async throws -> Void
    ) async throws {
        let worker = SubscriptionWorker(
            subscription: self, reader: reader, clock: broker.environment.clock,
            onFailure: onFailure,
            handler: handler)
        do {
            try await withThrowingDiscardingTaskGroup { group in
                while let delivery = try await next() {
                    group.addTask { await worker.process(delivery) }
                }
            }
        } catch {
            await unsubscribe(timeout: .zero)
            throw error
        }
        await unsubscribe(timeout: .zero)
    }
}

/// Takes one delivery from decoding to settling.
private struct SubscriptionWorker<Reader: MessageReading>: Sendable {
    let subscription: Subscription
    let reader: Reader
    let clock: EventLoopClock
    let onFailure: @Sendable (SubscriberFailure) -> Void
    let handler: @Sendable (Reader.Message, SubscriberContext) async throws -> Void

    func process(_ delivery: Delivery) async {
        let value: Reader.Message
        do {
            value = try reader.read(delivery.message)
        } catch {
            report(error, delivery)
            await settle(delivery) { try await delivery.reject(error) }
            return
        }
        do {
            try await handle(value, delivery)
        } catch {
            // The message of a cancelled consumer goes back to the group when it unsubscribes.
            if Task.isCancelled { return }
            report(error, delivery)
            await settle(delivery) { try await delivery.retry(reason: "\(error)") }
            return
        }
        await settle(delivery) { try await delivery.acknowledge() }
    }

    private func settle(_ delivery: Delivery, _ body: () async throws -> Void) async {
        do {
            try await body()
        } catch {
            report(error, delivery)
        }
    }

    private func report(_ error: any Error, _ delivery: Delivery) {
        onFailure(
            SubscriberFailure(
                message: delivery.message, deliveries: delivery.deliveries, error: error))
    }

    /// Runs the handler, and cancels it before the broker would give the message to somebody else.
    private func handle(_ value: Reader.Message, _ delivery: Delivery) async throws {
        let limit = delivery.deadline.advanced(
            by: .zero - subscription.options.ackTimeout.safetyMargin)
        let context = SubscriberContext(
            message: delivery.message, deliveries: delivery.deliveries, deadline: limit,
            clock: clock)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await handler(value, context)
                return true
            }
            group.addTask {
                try? await clock.sleep(until: limit)
                return false
            }
            let isFirstDone = try await group.next() ?? true
            group.cancelAll()
            if isFirstDone { return }
            do {
                // Whoever returns, accepts: also when it was late.
                _ = try await group.next()
            } catch {
                if Task.isCancelled { throw error }
                throw MicroError.timeout(
                    "broker.consume",
                    "the handler of \(delivery.message.topic) was cancelled before ackTimeout "
                        + "(\(subscription.options.ackTimeout)): \(error)",
                    reason: "HANDLER_TIMEOUT")
            }
        }
    }
}
