internal import Micro
internal import SwiftProtobuf

/// One of the cases that the public interoperability tests describe.
struct InteropCase: Sendable {
    let name: String
    let run: @Sendable (TestedServer) async throws -> Void

    init(_ name: String, _ run: @escaping @Sendable (TestedServer) async throws -> Void) {
        self.name = name
        self.run = run
    }

    static let all = unary + streaming + endings + metadata + statuses + compression

    static let unary = [
        InteropCase("empty_unary") { server in
            let reply = try await server.service.emptyCall(Grpc_Testing_Empty())
            try expectEqual(reply, Grpc_Testing_Empty(), "the reply")
        },
        InteropCase("large_unary") { server in
            let reply = try await server.service.unaryCall(.large)
            try reply.payload.expectZeros(SimpleSizes.response)
        },
    ]
}

/// The sizes of the unary cases.
enum SimpleSizes {
    static let request = 271_828
    static let response = 314_159
}

extension Grpc_Testing_SimpleRequest {
    /// The request of large_unary, on which others build.
    static var large: Grpc_Testing_SimpleRequest {
        .with {
            $0.responseType = .compressable
            $0.responseSize = Int32(SimpleSizes.response)
            $0.payload = .zeros(SimpleSizes.request)
        }
    }
}

extension Grpc_Testing_StreamingOutputCallRequest {
    /// A request with a body, for replies of these sizes.
    init(sending bytes: Int? = nil, replies sizes: [Int]) {
        self.init()
        responseType = .compressable
        responseParameters = sizes.map { size in .with { $0.size = Int32(size) } }
        if let bytes { payload = .zeros(bytes) }
    }
}

extension Grpc_Testing_StreamingInputCallRequest {
    init(sending bytes: Int, expectingCompressed: Bool? = nil) {
        self.init()
        payload = .zeros(bytes)
        if let expectingCompressed { expectCompressed.value = expectingCompressed }
    }
}
