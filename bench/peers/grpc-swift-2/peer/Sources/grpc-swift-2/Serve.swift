import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCProtobuf
import NIOPosix

struct TypedEcho: Echo_Echo.ServiceProtocol {
    func unary(
        request: ServerRequest<Echo_Note>, context: ServerContext
    ) async throws -> ServerResponse<Echo_Note> {
        ServerResponse(message: request.message)
    }

    func chat(
        request: StreamingServerRequest<Echo_Note>, context: ServerContext
    ) async throws -> StreamingServerResponse<Echo_Note> {
        echoed(request)
    }

    func list(
        request: ServerRequest<Echo_Note>, context: ServerContext
    ) async throws -> StreamingServerResponse<Echo_Note> {
        StreamingServerResponse { writer in
            var left = request.message.id
            while left > 0 {
                let count = min(left, 128)
                try await writer.write(
                    contentsOf: repeatElement(request.message, count: Int(count)))
                left -= count
            }
            return [:]
        }
    }
}

/// What the generated code does for a service, for messages that stay bytes.
struct BytesEcho: RegistrableRPCService {
    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: Echo_Echo.Method.Unary.descriptor,
            deserializer: BytesDeserializer(), serializer: BytesSerializer()
        ) { request, _ in
            let request = try await ServerRequest(stream: request)
            return StreamingServerResponse(single: ServerResponse(message: request.message))
        }
        router.registerHandler(
            forMethod: Echo_Echo.Method.Chat.descriptor,
            deserializer: BytesDeserializer(), serializer: BytesSerializer()
        ) { request, _ in echoed(request) }
    }
}

private func echoed<Message: Sendable>(
    _ request: StreamingServerRequest<Message>
) -> StreamingServerResponse<Message> {
    StreamingServerResponse { writer in
        for try await message in request.messages { try await writer.write(message) }
        return [:]
    }
}

func serve(_ options: Options) async throws {
    signal(SIGTERM) { _ in _exit(0) }
    signal(SIGINT) { _ in _exit(0) }

    var security = HTTP2ServerTransport.Posix.TransportSecurity.plaintext
    if let certificate = options.certificate {
        security = .tls(
            certificateChain: [.file(path: certificate, format: .pem)],
            privateKey: .file(path: options.key, format: .pem))
    }
    let transport = HTTP2ServerTransport.Posix(
        address: options.address.contains(":")
            ? .ipv6(host: options.address, port: options.port)
            : .ipv4(host: options.address, port: options.port),
        transportSecurity: security,
        eventLoopGroup: MultiThreadedEventLoopGroup(numberOfThreads: options.loops))

    // Registered here and not by the server, so that the generic code is specialised.
    var router = RPCRouter<HTTP2ServerTransport.Posix>()
    switch options.codec {
    case .bytes: BytesEcho().registerMethods(with: &router)
    case .protobuf: TypedEcho().registerMethods(with: &router)
    }
    let server = GRPCServer(transport: transport, router: router)
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await server.serve() }
        let address = try await transport.listeningAddress
        print("ready \(address.ipv4?.port ?? address.ipv6?.port ?? 0)")
        fflush(nil)
        try await group.waitForAll()
    }
}
