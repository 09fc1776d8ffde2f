public import Micro
public import SwiftProtobuf

extension Broker {
    /// Publishes a protobuf message, and waits until the broker has accepted it.
    ///
    /// - Parameters:
    ///   - value: The payload.
    ///   - topic: Where: "orders.created".
    ///   - key: Messages of one topic and key stay in order.
    ///   - headers: What goes along.
    ///   - contentType: `application/protobuf`, which nil means, or `application/json`.
    ///   - delivery: When it may be delivered; `.after` delays it.
    ///   - timeout: How long to wait for room in the queues of slow subscribers. Default 5 seconds.
    /// - Throws: ``MicroError``: as ``publish(_:timeout:)``; `unsupportedMediaType` for another
    ///   content type. `CancellationError`: nothing was accepted.
    @discardableResult
    public func publish<Value: SwiftProtobuf.Message>(
        _ value: Value, to topic: String, key: String? = nil, headers: Metadata = [:],
        contentType: ContentType? = nil, deliver delivery: DeliveryTime = .now,
        timeout: Duration = .seconds(5)
    ) async throws -> PublishReceipt {
        try await publish(
            value, writing: ProtobufCoding(), to: topic, key: key, headers: headers,
            contentType: contentType, deliver: delivery, timeout: timeout)
    }

    /// Subscribes to protobuf messages: a sequence, each to be settled by hand. See the `messages`
    /// of `Codable` types.
    public func messages<Value: SwiftProtobuf.Message>(
        _ pattern: String, group: String? = nil,
        options: SubscriptionOptions = SubscriptionOptions(), as type: Value.Type = Value.self
    ) async throws -> BrokerMessages<Value> {
        try await messages(
            pattern, reading: ProtobufCoding<Value>(), group: group, options: options)
    }

    /// Subscribes and runs `handler` for each protobuf message, until the task is cancelled or the
    /// broker closes. See the `consume` of `Codable` types.
    public func consume<Value: SwiftProtobuf.Message>(
        _ pattern: String, group: String? = nil,
        options: SubscriptionOptions = SubscriptionOptions(),
        onFailure: @escaping @Sendable (SubscriberFailure) -> Void = { _ in },
        _ handler: @escaping @Sendable (Value, SubscriberContext) async throws -> Void
    ) async throws {
        try await consume(
            pattern, reading: ProtobufCoding<Value>(), group: group, options: options,
            onFailure: onFailure, handler)
    }
}

extension MicroService {
    /// Handles the protobuf messages of some topics.
    ///
    /// - Parameters:
    ///   - pattern: A topic, or several: `*` stands for one part, `>` for the rest.
    ///   - group: Each message goes to one member of the group; nil: to this subscriber too.
    ///   - options: Concurrency, deliveries, backoff.
    ///   - handler: Returning acknowledges. Throwing retries with backoff, and after the last
    ///     delivery makes the message a dead letter.
    public func subscribe<Value: SwiftProtobuf.Message>(
        _ pattern: String, group: String? = nil,
        options: SubscriptionOptions = SubscriptionOptions(),
        _ handler: @escaping @Sendable (Value, Context) async throws -> Void
    ) {
        subscribe(
            pattern, reading: ProtobufCoding<Value>(), group: group, options: options, handler)
    }
}
