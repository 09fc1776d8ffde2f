extension Client {
    // MARK: Messages written and read in the caller's own way

    /// Sends one message and returns the many that answer it. Throws as the `stream` of `Codable`
    /// types.
    @inlinable
    nonisolated(nonsending) public func stream<Writer: MessageWriting, Reader: MessageReading>(
        _ service: String, _ endpoint: String, _ request: Writer.Message,
        writing writer: Writer, reading reader: Reader, options: CallOptions = CallOptions()
    ) async throws -> Inbound<Reader.Message> {
        let form = try form(for: service, writing: writer, options)
        let request = ClientRequest(
            service, endpoint, kind: .stream, contentType: grpcContentType(form.name),
            body: try writer.write(request, as: form), options: options)
        return try await stream(request, reading: streamReading(reader))
    }

    @usableFromInline
    nonisolated(nonsending) func stream<Reply: Sendable>(
        _ request: ClientRequest, reading read: @escaping StreamReading<Reply>
    ) async throws -> Inbound<Reply> {
        let opened = Promise<Inbound<Reply>>()
        // It lasts longer than this call, and whoever observes it waits for its end.
        let running = environment.spawn(on: environment.loops.preferred) {
            do {
                _ = try await self.observed(request, timeout: nil) { request, deadline in
                    let stream = try await self.open(request, until: deadline) { stream in
                        let replies = stream.inbound(endsWhenDropped: true, reading: read)
                        return { opened.set(.success(replies)) }
                    }
                    return try self.response(try await stream.ended(), request)
                }
                opened.set(.failure(Client.unanswered(request)))
            } catch {
                opened.set(.failure(error))
            }
        }
        return try await withTaskCancellationHandler {
            try await opened.value()
        } onCancel: {
            running.cancel()
        }
    }

    /// Sends many messages and returns the one that answers them. Throws as the `collect` of
    /// `Codable` types.
    @inlinable
    nonisolated(nonsending) public func collect<Writer: MessageWriting, Reader: MessageReading>(
        _ service: String, _ endpoint: String, writing writer: Writer, reading reader: Reader,
        options: CallOptions = CallOptions(),
        _ body: @escaping @Sendable (Outbound<Writer.Message>) async throws -> Void
    ) async throws -> Response<Reader.Message> {
        let form = try form(for: service, writing: writer, options)
        let request = ClientRequest(
            service, endpoint, kind: .collect, contentType: grpcContentType(form.name),
            options: options)
        let answer = try await collect(request, writing: { try writer.write($0, as: form) }, body)
        return Response(
            reply: try read(answer, with: reader, of: request),
            wasCompressed: answer.wasCompressed, metadata: answer.metadata,
            trailers: answer.trailers, report: answer.report)
    }

    @usableFromInline
    nonisolated(nonsending) func collect<Request: Sendable>(
        _ request: ClientRequest, writing write: @escaping @Sendable (Request) throws -> [UInt8],
        _ body: @escaping @Sendable (Outbound<Request>) async throws -> Void
    ) async throws -> ClientResponse {
        try await observed(request, timeout: nil) { request, deadline in
            let stream = try await self.open(request, until: deadline) { _ in {} }
            let out = stream.outbound(compression: self.compression(of: request), write)
            do {
                try await body(out)
                try await out.finish()
            } catch let error as MicroError where error.reason == ClientStream.endedReason {
                // The node did not want more: what it says counts.
            } catch {
                stream.cancel()
                throw error
            }
            return try self.response(try await stream.ended(), request)
        }
    }

    /// Sends and receives many messages, at the same time. Throws as the `exchange` of `Codable`
    /// types.
    @inlinable
    nonisolated(nonsending) public func exchange<
        Writer: MessageWriting, Reader: MessageReading, Value: Sendable
    >(
        _ service: String, _ endpoint: String, writing writer: Writer, reading reader: Reader,
        options: CallOptions = CallOptions(),
        _ body:
            @escaping @Sendable (
                Outbound<Writer.Message>, Inbound<Reader.Message>
            ) async throws -> Value
    ) async throws -> Value {
        let form = try form(for: service, writing: writer, options)
        let request = ClientRequest(
            service, endpoint, kind: .exchange, contentType: grpcContentType(form.name),
            options: options)
        return try await exchange(
            request, writing: { try writer.write($0, as: form) }, reading: streamReading(reader),
            body)
    }

    @usableFromInline
    nonisolated(nonsending) func exchange<Request: Sendable, Reply: Sendable, Value: Sendable>(
        _ request: ClientRequest, writing write: @escaping @Sendable (Request) throws -> [UInt8],
        reading read: @escaping StreamReading<Reply>,
        _ body: @escaping @Sendable (Outbound<Request>, Inbound<Reply>) async throws -> Value
    ) async throws -> Value {
        let slot = ReplySlot<Value>()
        _ = try await observed(request, timeout: nil) { request, deadline in
            let replies = ReplySlot<Inbound<Reply>>()
            let stream = try await self.open(request, until: deadline) { stream in
                replies.set(stream.inbound(endsWhenDropped: false, reading: read))
                return {}
            }
            guard let replies = replies.take() else { throw Client.unanswered(request) }
            let out = stream.outbound(compression: self.compression(of: request), write)
            do {
                slot.set(try await body(out, replies))
                if try await self.leave(out, replies, of: stream) {
                    return try self.response(try await stream.ended(), request)
                }
                return ClientResponse(contentType: request.contentType, body: [])
            } catch let error as MicroError where error.reason == ClientStream.endedReason {
                // Why it has ended says more.
                _ = try self.response(try await stream.ended(), request)
                throw error
            } catch {
                stream.cancel()
                throw error
            }
        }
        guard let value = slot.take() else { throw Client.unanswered(request) }
        return value
    }

    /// Brings a stream to its end when its body has returned: what was sent is processed, unless
    /// the body left while replies were coming.
    ///
    /// - Returns: false when it was cut off, so that it has no status.
    private func leave<Request, Reply>(
        _ out: Outbound<Request>, _ replies: Inbound<Reply>, of stream: ClientStream
    ) async throws -> Bool {
        if replies.isUsed, !replies.isAtEnd {
            stream.cancel()
            return false
        }
        try await out.finish()
        for try await _ in replies {}
        return true
    }

    // MARK: Opening

    /// Finds a node and opens a stream on it.
    ///
    /// - Parameter prepare: Runs before anything can come; what it returns, when it is open.
    private func open(
        _ request: ClientRequest, until latest: EventLoopClock.Instant?,
        prepare: (ClientStream) -> () -> Void
    ) async throws -> ClientStream {
        try request.options.metadata.validate()
        let deadline = self.deadline(of: request, latest)
        let found = try await findNodes(for: request, until: deadline)
        let slot = try await slot()
        let stream = ClientStream(on: slot, id: "\(request.service)/\(request.endpoint)") {
            $0.code == 0 ? nil : Client.failure($0, CallReport($0), request)
        }
        let isOpen = prepare(stream)
        try await stream.open(
            request,
            CallTerms(
                request, try terms(of: request), options,
                within: deadline.map { time(until: $0) }),
            over: found.nodes)
        isOpen()
        if request.options.waitsForReady, request.options.address == nil {
            // Nodes that come while it waits for one are nodes to try.
            stream.accompany(
                environment.spawn { [directory] in
                    await directory.follow(request, for: found.query, on: slot)
                })
        }
        return stream
    }

    private func compression(of request: ClientRequest) -> Compression {
        request.options.compression ?? options.compression
    }

    private static func unanswered(_ request: ClientRequest) -> MicroError {
        MicroError(
            "\(request.service)/\(request.endpoint)", .internal,
            "a hook ended the stream without an error before it was opened")
    }
}
