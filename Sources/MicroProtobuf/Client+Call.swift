public import Micro
public import SwiftProtobuf

extension Client {
    /// Calls an endpoint and returns its reply.
    ///
    /// - Parameters:
    ///   - service: The service as it stands in the register.
    ///   - endpoint: "Service.Method", or in full "package.Service/Method".
    ///   - reply: The type of the reply, where it can't be inferred.
    /// - Throws: ``MicroError``: the service's own, or what kept the call from being answered, with
    ///   ``MicroError/wasWritten`` saying whether a node may have processed it. `cancelled` as soon
    ///   as the task is cancelled: the node is told.
    @inlinable
    nonisolated(nonsending) public func call<
        Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message
    >(
        _ service: String, _ endpoint: String, _ request: Request,
        as reply: Reply.Type = Reply.self,
        options: CallOptions = CallOptions()
    ) async throws -> Reply {
        try await response(service, endpoint, request, as: reply, options: options).reply
    }

    /// Calls a typed endpoint and returns its reply. Throws as the other `call`.
    @inlinable
    nonisolated(nonsending) public func call<
        Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message
    >(
        _ endpoint: Endpoint<Request, Reply>, _ request: Request,
        options: CallOptions = CallOptions()
    ) async throws -> Reply {
        try await call(endpoint.service, endpoint.name, request, options: options)
    }

    /// Calls an endpoint and returns its reply with its metadata, and how the call went.
    /// Throws as `call`.
    @inlinable
    nonisolated(nonsending) public func response<
        Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message
    >(
        _ service: String, _ endpoint: String, _ request: Request,
        as reply: Reply.Type = Reply.self,
        options: CallOptions = CallOptions()
    ) async throws -> Response<Reply> {
        try await response(
            service, endpoint, request, writing: ProtobufCoding(),
            reading: ProtobufCoding(), options: options)
    }

    /// Calls a typed endpoint and returns its reply with its metadata, and how the call went.
    /// Throws as `call`.
    @inlinable
    nonisolated(nonsending) public func response<
        Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message
    >(
        _ endpoint: Endpoint<Request, Reply>, _ request: Request,
        options: CallOptions = CallOptions()
    ) async throws -> Response<Reply> {
        try await response(endpoint.service, endpoint.name, request, options: options)
    }
}
