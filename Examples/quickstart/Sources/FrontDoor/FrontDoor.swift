import GreeterAPI
import Micro

/// What the outside calls. It finds the greeters through the register and balances over them.
@main
struct FrontDoor {
    static func main() async throws {
        let service = MicroService(name: "frontdoor", version: "1.0.0")
        service.handle("Front.Hello") { (request: HelloRequest, context) async throws -> HelloReply in
            try await context.client.call(.hello, request, options: .init(retry: .idempotent(attempts: 3)))
        }
        try await service.run()
    }
}
