extension Client {
    /// Sends one message and returns the many that answer it.
    ///
    /// The stream ends when the last copy of what is returned is gone, or with the task that
    /// iterates it: the node is told. Without a timeout it may last for ever; it inherits the
    /// deadline of the surrounding call.
    ///
    /// A stream is tried again on another node as long as no answer has begun, as a call is.
    ///
    /// - Parameters:
    ///   - service: The service as it stands in the register.
    ///   - endpoint: "Service.Method", or in full "package.Service/Method".
    ///   - reply: The type of the replies, where it can't be inferred.
    /// - Throws: ``MicroError`` when it can't be opened. What ends it later is thrown where the
    ///   replies are iterated.
    @inlinable
    nonisolated(nonsending) public func stream<
        Request: Encodable & Sendable, Reply: Decodable & Sendable
    >(
        _ service: String, _ endpoint: String, _ request: Request,
        as reply: Reply.Type = Reply.self, options: CallOptions = CallOptions()
    ) async throws -> Inbound<Reply> {
        try await stream(
            service, endpoint, request, writing: CodableCoding(codecs),
            reading: CodableCoding<Reply>(codecs), options: options)
    }

    /// The same for a typed endpoint.
    @inlinable
    nonisolated(nonsending) public func stream<
        Request: Encodable & Sendable, Reply: Decodable & Sendable
    >(
        _ endpoint: Endpoint<Request, Reply>, _ request: Request,
        options: CallOptions = CallOptions()
    ) async throws -> Inbound<Reply> {
        try await stream(endpoint.service, endpoint.name, request, options: options)
    }

    /// Sends many messages and returns the one that answers them.
    ///
    /// When `body` returns, the end of the messages is sent, and the reply waited for. When it
    /// throws, the call is cancelled. The node may answer before it has everything: what is sent
    /// after that throws, and the reply counts.
    ///
    /// - Parameters:
    ///   - body: Sends the messages.
    /// - Throws: ``MicroError`` as `call`; what `body` throws.
    @inlinable
    nonisolated(nonsending) public func collect<
        Request: Encodable & Sendable, Reply: Decodable & Sendable
    >(
        _ service: String, _ endpoint: String, as reply: Reply.Type = Reply.self,
        options: CallOptions = CallOptions(),
        _ body: @escaping @Sendable (Outbound<Request>) async throws -> Void
    ) async throws -> Reply {
        try await collect(
            service, endpoint, writing: CodableCoding(codecs),
            reading: CodableCoding<Reply>(codecs), options: options, body
        ).reply
    }

    /// The same for a typed endpoint.
    @inlinable
    nonisolated(nonsending) public func collect<
        Request: Encodable & Sendable, Reply: Decodable & Sendable
    >(
        _ endpoint: Endpoint<Request, Reply>, options: CallOptions = CallOptions(),
        _ body: @escaping @Sendable (Outbound<Request>) async throws -> Void
    ) async throws -> Reply {
        try await collect(endpoint.service, endpoint.name, options: options, body)
    }

    /// Sends and receives many messages at the same time.
    ///
    /// When `body` returns, the end of the messages is sent, and the end of the stream waited for;
    /// but when it has left before the last reply, as with `break`, the stream is cancelled, and so
    /// it is when it throws.
    ///
    /// - Parameter body: Sends and receives; its result is returned.
    /// - Throws: ``MicroError``: the service's own, or what ended the stream; what `body` throws.
    @inlinable
    nonisolated(nonsending) public func exchange<
        Request: Encodable & Sendable, Reply: Decodable & Sendable, Value: Sendable
    >(
        _ service: String, _ endpoint: String, options: CallOptions = CallOptions(),
        _ body: @escaping @Sendable (Outbound<Request>, Inbound<Reply>) async throws -> Value
    ) async throws -> Value {
        try await exchange(
            service, endpoint, writing: CodableCoding<Request>(codecs),
            reading: CodableCoding<Reply>(codecs), options: options, body)
    }

    /// The same for a typed endpoint.
    @inlinable
    nonisolated(nonsending) public func exchange<
        Request: Encodable & Sendable, Reply: Decodable & Sendable, Value: Sendable
    >(
        _ endpoint: Endpoint<Request, Reply>, options: CallOptions = CallOptions(),
        _ body: @escaping @Sendable (Outbound<Request>, Inbound<Reply>) async throws -> Value
    ) async throws -> Value {
        try await exchange(endpoint.service, endpoint.name, options: options, body)
    }
}
