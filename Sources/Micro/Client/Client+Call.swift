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
    public func call<Request: Encodable & Sendable, Reply: Decodable & Sendable>(
        _ service: String, _ endpoint: String, _ request: Request,
        as reply: Reply.Type = Reply.self,
        options: CallOptions = CallOptions()
    ) async throws -> Reply {
        try await response(service, endpoint, request, as: reply, options: options).reply
    }

    /// Calls a typed endpoint and returns its reply. Throws as the other `call`.
    public func call<Request: Encodable & Sendable, Reply: Decodable & Sendable>(
        _ endpoint: Endpoint<Request, Reply>, _ request: Request,
        options: CallOptions = CallOptions()
    ) async throws -> Reply {
        try await call(endpoint.service, endpoint.name, request, options: options)
    }

    /// Calls an endpoint and returns its reply with its metadata, and how the call went.
    /// Throws as `call`.
    public func response<Request: Encodable & Sendable, Reply: Decodable & Sendable>(
        _ service: String, _ endpoint: String, _ request: Request,
        as reply: Reply.Type = Reply.self,
        options: CallOptions = CallOptions()
    ) async throws -> Response<Reply> {
        let codec = try codecs.codec(for: options.contentType ?? "", carrying: Request.self)
        let answer = try await send(
            ClientRequest(
                service: service, endpoint: endpoint,
                contentType: "application/grpc+\(codec.name)", body: try codec.encode(request),
                options: options))
        return Response(
            reply: try decode(answer, as: Reply.self, of: "\(service)/\(endpoint)"),
            metadata: answer.metadata, report: answer.report)
    }

    /// Calls a typed endpoint and returns its reply with its metadata, and how the call went.
    /// Throws as `call`.
    public func response<Request: Encodable & Sendable, Reply: Decodable & Sendable>(
        _ endpoint: Endpoint<Request, Reply>, _ request: Request,
        options: CallOptions = CallOptions()
    ) async throws -> Response<Reply> {
        try await response(endpoint.service, endpoint.name, request, options: options)
    }

    private func decode<Reply: Decodable & Sendable>(
        _ answer: ClientResponse, as reply: Reply.Type, of id: String
    ) throws -> Reply {
        do {
            let codec = try codecs.codec(for: answer.contentType, carrying: Reply.self)
            return try codec.decode(Reply.self, from: answer.body.span.bytes)
        } catch {
            // The node has done its work: this is not for trying again.
            throw MicroError(
                id, .internal,
                "the reply of node \(answer.report.node) can't be read as \(Reply.self): "
                    + "\(MicroError(error, id: id).detail)",
                wasWritten: true, retryable: false)
        }
    }
}

extension Context {
    /// The service's client. Calls made in the handler's task inherit this call's deadline, trace
    /// and request id. A server that was made without one lends a client that discovers nothing and
    /// calls the addresses that it is given.
    public var client: Client {
        let environment = scope.environment
        let lent = scope.client.get {
            Client(resolver: StaticResolver(addresses: [:]), environment: environment)
        }
        return lent as? Client
            ?? Client(resolver: StaticResolver(addresses: [:]), environment: environment)
    }
}
