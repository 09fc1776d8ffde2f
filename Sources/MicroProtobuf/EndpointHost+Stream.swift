public import Micro
public import SwiftProtobuf

extension EndpointHost {
    /// Answers one message with many: the replies end when the closure returns.
    ///
    /// It runs as a task, which is cancelled when nobody waits for the replies any more. Over plain
    /// HTTP the replies are lines of JSON, or server-sent events for a caller that accepts
    /// `text/event-stream`. An error behind the first reply ends the stream with it; over HTTP/1.1
    /// it cuts the answer off.
    ///
    /// - Parameters:
    ///   - endpoint: "Service.Method", or in full "package.Service/Method".
    ///   - timeout: The deadline of a call that has none, and the longest that a caller gets.
    ///   - handler: Throws to refuse, as that of `handle`.
    @inlinable
    public func stream<Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message>(
        _ endpoint: String, execution: AsyncExecution = .loop, timeout: Duration? = nil,
        _ handler: @escaping @Sendable (Request, Context, Outbound<Reply>) async throws -> Void
    ) {
        serve(
            .stream(
                EndpointName(endpoint), timeout: timeout, execution: execution,
                reading: ProtobufCoding<Request>(), writing: ProtobufCoding<Reply>(), handler))
    }

    /// The same for a typed endpoint, whose service must be this one.
    @inlinable
    public func stream<Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message>(
        _ endpoint: Endpoint<Request, Reply>, execution: AsyncExecution = .loop,
        timeout: Duration? = nil,
        _ handler: @escaping @Sendable (Request, Context, Outbound<Reply>) async throws -> Void
    ) {
        serve(
            .stream(
                EndpointName(endpoint), timeout: timeout, execution: execution,
                reading: ProtobufCoding<Request>(), writing: ProtobufCoding<Reply>(), handler))
    }

    /// Answers many messages with one: it may come before the last of them.
    ///
    /// Over plain HTTP each line of a JSON body is a message. For the rest see `stream`.
    @inlinable
    public func collect<Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message>(
        _ endpoint: String, execution: AsyncExecution = .loop, timeout: Duration? = nil,
        _ handler: @escaping @Sendable (Inbound<Request>, Context) async throws -> Reply
    ) {
        serve(
            .collect(
                EndpointName(endpoint), timeout: timeout, execution: execution,
                reading: ProtobufCoding<Request>(), writing: ProtobufCoding<Reply>(), handler))
    }

    /// The same for a typed endpoint, whose service must be this one.
    @inlinable
    public func collect<Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message>(
        _ endpoint: Endpoint<Request, Reply>, execution: AsyncExecution = .loop,
        timeout: Duration? = nil,
        _ handler: @escaping @Sendable (Inbound<Request>, Context) async throws -> Reply
    ) {
        serve(
            .collect(
                EndpointName(endpoint), timeout: timeout, execution: execution,
                reading: ProtobufCoding<Request>(), writing: ProtobufCoding<Reply>(), handler))
    }

    /// Receives and sends many messages at the same time: the replies end when the closure returns.
    /// For the rest see `stream` and `collect`.
    @inlinable
    public func exchange<Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message>(
        _ endpoint: String, execution: AsyncExecution = .loop, timeout: Duration? = nil,
        _ handler:
            @escaping @Sendable (
                Inbound<Request>, Context, Outbound<Reply>
            ) async throws -> Void
    ) {
        serve(
            .exchange(
                EndpointName(endpoint), timeout: timeout, execution: execution,
                reading: ProtobufCoding<Request>(), writing: ProtobufCoding<Reply>(), handler))
    }

    /// The same for a typed endpoint, whose service must be this one.
    @inlinable
    public func exchange<Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message>(
        _ endpoint: Endpoint<Request, Reply>, execution: AsyncExecution = .loop,
        timeout: Duration? = nil,
        _ handler:
            @escaping @Sendable (
                Inbound<Request>, Context, Outbound<Reply>
            ) async throws -> Void
    ) {
        serve(
            .exchange(
                EndpointName(endpoint), timeout: timeout, execution: execution,
                reading: ProtobufCoding<Request>(), writing: ProtobufCoding<Reply>(), handler))
    }
}
