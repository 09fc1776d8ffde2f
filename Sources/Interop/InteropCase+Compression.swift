internal import Micro
internal import MicroProtobuf

extension InteropCase {
    /// Each of the two directions, of one message and of many. Where the client compresses, it
    /// makes sure first that the server looks: what is not compressed although the request says so
    /// must be refused.
    static let compression = [
        InteropCase("client_compressed_unary") { server in
            func call(compressed: Bool, expecting: Bool) async throws {
                let options = server.options {
                    $0.compression = compressed ? .always : .off
                }
                var request = Grpc_Testing_SimpleRequest.large
                request.expectCompressed.value = expecting
                let reply = try await server.service.unaryCall(request, options: options)
                try reply.payload.expectZeros(SimpleSizes.response)
            }
            try await expectFailure(.invalidArgument) {
                try await call(compressed: false, expecting: true)
            }
            try await call(compressed: true, expecting: true)
            try await call(compressed: false, expecting: false)
        },
        InteropCase("server_compressed_unary") { server in
            for isCompressed in [true, false] {
                var request = Grpc_Testing_SimpleRequest.large
                request.responseCompressed.value = isCompressed
                let response = try await server.client.response(
                    server.service.endpoints.unaryCall, request, options: server.options)
                try expectEqual(response.wasCompressed, isCompressed, "the reply is compressed")
                try response.reply.payload.expectZeros(SimpleSizes.response)
            }
        },
        InteropCase("client_compressed_streaming") { server in
            try await expectFailure(.invalidArgument) {
                _ = try await server.service.streamingInputCall { out in
                    try await out.send(
                        .init(sending: 27_182, expectingCompressed: true),
                        compression: .off)
                }
            }
            let options = server.options { $0.compression = .always }
            let reply = try await server.service.streamingInputCall(options: options) { out in
                try await out.send(.init(sending: 27_182, expectingCompressed: true))
                try await out.send(
                    .init(sending: 45_904, expectingCompressed: false),
                    compression: .off)
            }
            try expectEqual(reply.aggregatedPayloadSize, 73_086, "the sum of the sizes")
        },
        InteropCase("server_compressed_streaming") { server in
            let expected = [
                (size: 31_415, isCompressed: true), (size: 92_653, isCompressed: false),
            ]
            var request = Grpc_Testing_StreamingOutputCallRequest(replies: expected.map(\.size))
            for (index, reply) in expected.enumerated() {
                request.responseParameters[index].compressed.value = reply.isCompressed
            }
            let replies = try await server.service.streamingOutputCall(request)
            var count = 0
            for try await reply in replies {
                try expect(count < expected.count, "more than \(expected.count) replies")
                try expectEqual(
                    replies.wasCompressed, expected[count].isCompressed,
                    "reply \(count) is compressed")
                try reply.payload.expectZeros(expected[count].size)
                count += 1
            }
            try expectEqual(count, expected.count, "the number of replies")
        },
    ]
}

extension Compression {
    /// Whatever the size.
    fileprivate static let always = Compression.gzip(from: 0)
}
