public import Micro
public import SwiftProtobuf

extension EndpointHost {
    /// Answers an endpoint of protobuf messages with a closure that does not suspend.
    ///
    /// Callers send the binary form, or JSON.
    ///
    /// - Parameters:
    ///   - endpoint: "Service.Method", or in full "package.Service/Method". A name that is not
    ///     valid or is taken is reported by `run()`.
    ///   - execution: `.inline` runs it on the event loop, where it must not block.
    ///   - timeout: The deadline of a call that has none, and the longest that a caller gets.
    ///   - handler: Throws to refuse: a ``MicroError`` reaches the caller as it is, any other error
    ///     as INTERNAL, with its text in the log only.
    @inlinable
    public func handle<Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message>(
        _ endpoint: String, execution: SyncExecution = .inline, timeout: Duration? = nil,
        _ handler: @escaping @Sendable (Request, Context) throws -> Reply
    ) {
        serve(
            .synchronous(
                EndpointName(endpoint), timeout: timeout, execution: execution,
                reading: ProtobufCoding<Request>(), writing: ProtobufCoding<Reply>(), handler))
    }

    /// Answers an endpoint of protobuf messages with a closure that may suspend.
    ///
    /// It runs as a task, which is cancelled when nobody waits for the answer any more: the caller
    /// cancelled or went away, or the deadline passed. For the parameters see the other `handle`.
    @inlinable
    public func handle<Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message>(
        _ endpoint: String, execution: AsyncExecution = .loop, timeout: Duration? = nil,
        _ handler: @escaping @Sendable (Request, Context) async throws -> Reply
    ) {
        serve(
            .asynchronous(
                EndpointName(endpoint), timeout: timeout, execution: execution,
                reading: ProtobufCoding<Request>(), writing: ProtobufCoding<Reply>(), handler))
    }

    /// Answers a typed endpoint with a closure that does not suspend. Its service must be this one.
    @inlinable
    public func handle<Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message>(
        _ endpoint: Endpoint<Request, Reply>, execution: SyncExecution = .inline,
        timeout: Duration? = nil,
        _ handler: @escaping @Sendable (Request, Context) throws -> Reply
    ) {
        serve(
            .synchronous(
                EndpointName(endpoint), timeout: timeout, execution: execution,
                reading: ProtobufCoding<Request>(), writing: ProtobufCoding<Reply>(), handler))
    }

    /// Answers a typed endpoint with a closure that may suspend. Its service must be this one.
    @inlinable
    public func handle<Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message>(
        _ endpoint: Endpoint<Request, Reply>, execution: AsyncExecution = .loop,
        timeout: Duration? = nil,
        _ handler: @escaping @Sendable (Request, Context) async throws -> Reply
    ) {
        serve(
            .asynchronous(
                EndpointName(endpoint), timeout: timeout, execution: execution,
                reading: ProtobufCoding<Request>(), writing: ProtobufCoding<Reply>(), handler))
    }
}
