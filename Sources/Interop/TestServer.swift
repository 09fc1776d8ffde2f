internal import FoundationEssentials
internal import Micro

/// grpc.testing.TestService as the public interoperability tests describe it.
struct TestServer: Grpc_Testing_TestService {
    /// Requests may ask for more than this machine has.
    static let bodyBytesMax: Int32 = 4 << 20
    private static let halfDuplexRequestsMax = 10_000

    func emptyCall(
        _ request: Grpc_Testing_Empty, _ context: Context
    ) async throws -> Grpc_Testing_Empty {
        context.echoMetadata()
        return Grpc_Testing_Empty()
    }

    func unaryCall(
        _ request: Grpc_Testing_SimpleRequest, _ context: Context
    ) async throws -> Grpc_Testing_SimpleResponse {
        context.echoMetadata()
        if request.hasExpectCompressed {
            try expect(request.expectCompressed, found: context.requestWasCompressed)
        }
        if request.hasResponseStatus { try request.responseStatus.check() }
        if request.hasResponseCompressed {
            context.compression = request.responseCompressed.compression
        }
        var response = Grpc_Testing_SimpleResponse()
        response.payload = try payload(of: request.responseSize)
        return response
    }

    func streamingOutputCall(
        _ request: Grpc_Testing_StreamingOutputCallRequest, _ context: Context,
        _ out: Outbound<Grpc_Testing_StreamingOutputCallResponse>
    ) async throws {
        context.echoMetadata()
        try await answer(request, context, out)
    }

    func streamingInputCall(
        _ incoming: Inbound<Grpc_Testing_StreamingInputCallRequest>, _ context: Context
    ) async throws -> Grpc_Testing_StreamingInputCallResponse {
        context.echoMetadata()
        var sum = 0
        for try await request in incoming {
            if request.hasExpectCompressed {
                try expect(request.expectCompressed, found: incoming.wasCompressed)
            }
            sum += request.payload.body.count
        }
        var response = Grpc_Testing_StreamingInputCallResponse()
        response.aggregatedPayloadSize = Int32(clamping: sum)
        return response
    }

    func fullDuplexCall(
        _ incoming: Inbound<Grpc_Testing_StreamingOutputCallRequest>, _ context: Context,
        _ out: Outbound<Grpc_Testing_StreamingOutputCallResponse>
    ) async throws {
        context.echoMetadata()
        for try await request in incoming { try await answer(request, context, out) }
    }

    func halfDuplexCall(
        _ incoming: Inbound<Grpc_Testing_StreamingOutputCallRequest>, _ context: Context,
        _ out: Outbound<Grpc_Testing_StreamingOutputCallResponse>
    ) async throws {
        context.echoMetadata()
        var requests: [Grpc_Testing_StreamingOutputCallRequest] = []
        for try await request in incoming {
            guard requests.count < TestServer.halfDuplexRequestsMax else {
                throw MicroError.resourceExhausted(
                    "interop", "more than \(TestServer.halfDuplexRequestsMax) requests")
            }
            requests.append(request)
        }
        for request in requests { try await answer(request, context, out) }
    }

    /// What every server has to say.
    func unimplementedCall(
        _ request: Grpc_Testing_Empty, _ context: Context
    ) async throws -> Grpc_Testing_Empty {
        throw MicroError.unimplemented("interop", "this method is not implemented")
    }

    private func answer(
        _ request: Grpc_Testing_StreamingOutputCallRequest, _ context: Context,
        _ out: Outbound<Grpc_Testing_StreamingOutputCallResponse>
    ) async throws {
        if request.hasResponseStatus { try request.responseStatus.check() }
        for parameters in request.responseParameters {
            if parameters.intervalUs > 0 {
                try await context.clock.sleep(for: .microseconds(Int64(parameters.intervalUs)))
            }
            var response = Grpc_Testing_StreamingOutputCallResponse()
            response.payload = try payload(of: parameters.size)
            try await out.send(
                response,
                compression: parameters.hasCompressed ? parameters.compressed.compression : nil)
        }
    }

    private func payload(of size: Int32) throws -> Grpc_Testing_Payload {
        guard (0...TestServer.bodyBytesMax).contains(size) else {
            throw MicroError.invalid(
                "interop", "a body of \(size) bytes: 0 to \(TestServer.bodyBytesMax) can be had",
                at: "size")
        }
        return .zeros(Int(size))
    }

    private func expect(_ expected: Grpc_Testing_BoolValue, found wasCompressed: Bool) throws {
        guard expected.value == wasCompressed else {
            throw MicroError.invalid(
                "interop",
                wasCompressed ? "the message is compressed" : "the message is not compressed",
                at: "expect_compressed")
        }
    }
}

extension Context {
    /// Sends back what the tests of custom metadata send.
    fileprivate func echoMetadata() {
        if let text = metadata[CustomMetadata.initial] {
            replyMetadata[CustomMetadata.initial] = text
        }
        if let bytes = metadata[binary: CustomMetadata.trailing] {
            replyTrailers[binary: CustomMetadata.trailing] = bytes
        }
    }
}

extension Grpc_Testing_EchoStatus {
    /// Throws the status unless it is that of success.
    fileprivate func check() throws {
        guard code != 0 else { return }
        throw MicroError(
            "interop", MicroError.Code(rpc: UInt32(clamping: code)), message)
    }
}

extension Grpc_Testing_BoolValue {
    /// Whether to compress what a message asks to be compressed.
    fileprivate var compression: Compression { value ? .gzip(from: 0) : .off }
}

/// The names of the metadata that the server sends back.
enum CustomMetadata {
    static let initial = "x-grpc-test-echo-initial"
    static let trailing = "x-grpc-test-echo-trailing-bin"
}

extension Grpc_Testing_Payload {
    /// So many bytes, all zero.
    static func zeros(_ count: Int) -> Grpc_Testing_Payload {
        var payload = Grpc_Testing_Payload()
        payload.type = .compressable
        payload.body = Data(count: count)
        return payload
    }
}
