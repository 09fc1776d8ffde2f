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
        Request: Encodable & Sendable, Reply: Decodable & Sendable
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
        Request: Encodable & Sendable, Reply: Decodable & Sendable
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
        Request: Encodable & Sendable, Reply: Decodable & Sendable
    >(
        _ service: String, _ endpoint: String, _ request: Request,
        as reply: Reply.Type = Reply.self,
        options: CallOptions = CallOptions()
    ) async throws -> Response<Reply> {
        try await response(
            service, endpoint, request, writing: CodableCoding(codecs),
            reading: CodableCoding(codecs), options: options)
    }

    /// Calls a typed endpoint and returns its reply with its metadata, and how the call went.
    /// Throws as `call`.
    @inlinable
    nonisolated(nonsending) public func response<
        Request: Encodable & Sendable, Reply: Decodable & Sendable
    >(
        _ endpoint: Endpoint<Request, Reply>, _ request: Request,
        options: CallOptions = CallOptions()
    ) async throws -> Response<Reply> {
        try await response(endpoint.service, endpoint.name, request, options: options)
    }

    /// Calls an endpoint whose messages are written and read in the caller's own way.
    /// Throws as `call`.
    @inlinable
    nonisolated(nonsending) public func response<Writer: MessageWriting, Reader: MessageReading>(
        _ service: String, _ endpoint: String, _ request: Writer.Message,
        writing writer: Writer, reading reader: Reader, options: CallOptions = CallOptions()
    ) async throws -> Response<Reader.Message> {
        let form = try form(for: service, writing: writer, options)
        do {
            return try await response(
                service, endpoint, request, writing: writer, as: form, reading: reader, options)
        } catch let error as MicroError {
            guard
                let other = try await otherForm(
                    than: form.name, after: error, for: service, writing: writer, options)
            else { throw error }
            return try await response(
                service, endpoint, request, writing: writer, as: other, reading: reader, options)
        }
    }

    @inlinable
    nonisolated(nonsending) func response<Writer: MessageWriting, Reader: MessageReading>(
        _ service: String, _ endpoint: String, _ request: Writer.Message,
        writing writer: Writer, as form: Writer.WrittenForm, reading reader: Reader,
        _ options: CallOptions
    ) async throws -> Response<Reader.Message> {
        let request = ClientRequest(
            service: service, endpoint: endpoint, contentType: grpcContentType(form.name),
            body: try writer.write(request, as: form), options: options)
        let answer = try await send(request)
        return Response(
            reply: try read(answer, with: reader, of: request), wasCompressed: answer.wasCompressed,
            metadata: answer.metadata, trailers: answer.trailers, report: answer.report)
    }

    @inlinable
    func read<Reader: MessageReading>(
        _ answer: ClientResponse, with reader: Reader, of request: ClientRequest
    ) throws -> Reader.Message {
        do {
            let form = try reader.readForm(for: answer.contentType)
            return try reader.read(answer.body.span.bytes, as: form)
        } catch {
            throw Client.unreadable(
                error, answer.report.node, as: Reader.Message.self,
                of: "\(request.service)/\(request.endpoint)")
        }
    }

    /// The node has done its work: this is not for trying again.
    @usableFromInline
    static func unreadable(
        _ error: any Error, _ node: String, as type: Any.Type, of id: String
    ) -> MicroError {
        MicroError(
            id, .internal,
            "the reply\(node.isEmpty ? "" : " of node \(node)") can't be read as \(type): "
                + "\(MicroError(error, id: id).detail)",
            wasWritten: true, retryable: false)
    }
}

/// How the messages of an RPC say their form: those that are known need not be put together.
@usableFromInline
func grpcContentType(_ form: String) -> String {
    switch form {
    case "proto": "application/grpc+proto"
    case "json": "application/grpc+json"
    case "msgpack": "application/grpc+msgpack"
    case "cbor": "application/grpc+cbor"
    case "bytes": "application/grpc+bytes"
    case "text": "application/grpc+text"
    default: "application/grpc+\(form)"
    }
}

extension Context {
    /// The service's client. Calls made in the handler's task inherit this call's deadline, trace
    /// and request id. A server that was made without one lends a client that discovers nothing and
    /// calls the addresses that it is given.
    public var client: Client {
        let environment = scope.origin.environment
        let lent = scope.origin.client.get {
            Client(resolver: StaticResolver(addresses: [:]), environment: environment)
        }
        return lent as? Client
            ?? Client(resolver: StaticResolver(addresses: [:]), environment: environment)
    }
}
