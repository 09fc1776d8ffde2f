internal import Micro
internal import MicroProtobuf
internal import SwiftProtobuf

extension InteropCase {
    static let metadata = [
        InteropCase("custom_metadata") { server in
            let text = "test_initial_metadata_value"
            let bytes: [UInt8] = [0xab, 0xab, 0xab]
            let options = server.options {
                $0.metadata[CustomMetadata.initial] = text
                $0.metadata[binary: CustomMetadata.trailing] = bytes
            }
            @Sendable func check(_ metadata: Metadata, _ trailers: Metadata) throws {
                try expectEqual(
                    metadata.values(CustomMetadata.initial), [text], CustomMetadata.initial)
                try expectEqual(
                    trailers.values(binary: CustomMetadata.trailing), [bytes],
                    CustomMetadata.trailing)
            }
            let response = try await server.client.response(
                server.service.endpoints.unaryCall, .large, options: options)
            try response.reply.payload.expectZeros(SimpleSizes.response)
            try check(response.metadata, response.trailers)

            try await server.service.fullDuplexCall(options: options) { out, incoming in
                try await out.send(
                    .init(sending: SimpleSizes.request, replies: [SimpleSizes.response]))
                try await out.finish()
                var count = 0
                for try await reply in incoming {
                    try reply.payload.expectZeros(SimpleSizes.response)
                    count += 1
                }
                try expectEqual(count, 1, "the number of replies")
                try check(try await incoming.metadata(), incoming.trailers)
            }
        }
    ]

    static let statuses = [
        InteropCase("status_code_and_message") { server in
            let status = Grpc_Testing_EchoStatus.with {
                $0.code = 2
                $0.message = "test status message"
            }
            let unary = try await expectFailure(.unknown) {
                _ = try await server.service.unaryCall(.with { $0.responseStatus = status })
            }
            try expectEqual(unary.detail, status.message, "the message")

            let duplex = try await expectFailure(.unknown) {
                try await server.service.fullDuplexCall { out, incoming in
                    try await out.send(.with { $0.responseStatus = status })
                    try await out.finish()
                    for try await _ in incoming { throw Unexpected("a reply beside the status") }
                }
            }
            try expectEqual(duplex.detail, status.message, "the message of the stream")
        },
        InteropCase("special_status_message") { server in
            let message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
            let error = try await expectFailure(.unknown) {
                _ = try await server.service.unaryCall(
                    .with {
                        $0.responseStatus.code = 2
                        $0.responseStatus.message = message
                    })
            }
            try expectEqual(error.detail, message, "the message")
        },
        InteropCase("unimplemented_method") { server in
            try await expectFailure(.unimplemented) {
                _ = try await server.service.unimplementedCall(Grpc_Testing_Empty())
            }
        },
        InteropCase("unimplemented_service") { server in
            try await expectFailure(.unimplemented) {
                _ = try await server.absent.unimplementedCall(Grpc_Testing_Empty())
            }
        },
    ]
}
