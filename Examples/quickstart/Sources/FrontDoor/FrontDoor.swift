import GreeterAPI
import Micro

/// What the outside calls. It finds the greeters by name and balances over them. Greeting twice is
/// harmless, so a call is made again, on another greeter, when one dies with it.
@main
struct FrontDoor {
    static func main() async throws {
        let service = MicroService(name: "frontdoor", version: "1.0.0")
        let options = CallOptions(retry: .idempotent(attempts: 3))
        service.handle("Front.Hello") {
            (request: HelloRequest, context) async throws -> HelloReply in
            try await context.client.call(.hello, request, options: options)
        }
        try await service.run()
    }
}
