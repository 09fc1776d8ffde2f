import GreeterAPI
import Micro

/// A service with one endpoint. Start as many as you like: they share the calls.
@main
struct Greeter {
    static func main() async throws {
        let service = MicroService(name: "greeter", version: "1.0.0")
        let tally = try Tally()
        service.handle(.hello) { request, context in
            tally.count()
            guard !request.name.isEmpty else {
                throw MicroError.invalid("greeter.hello", "whom to greet is missing", at: "name")
            }
            return HelloReply(message: "Hello, \(request.name)")
        }
        try await service.run()
    }
}
