import Micro

/// Echo servers in Swift, for measuring what Swift adds to the core: the bytes of the request come
/// back, by a handler that runs in place and by one that is a task.
///
///     swift-echo ADDRESS
///
/// "/echo/Echo.Direct" and "/echo/Echo.Async" take bytes, "/echo/Echo.Typed" JSON.
@main
struct SwiftEcho {
    struct Message: Codable, Sendable { var text: String }

    static func main() async throws {
        var options = ServiceOptions()
        options.server.addresses = [CommandLine.arguments.dropFirst().first ?? "127.0.0.1:0"]
        options.register = MemoryRegister()
        let service = MicroService(name: "echo", options: options)
        service.handle("Echo.Direct") { (bytes: [UInt8], context) in bytes }
        service.handle("Echo.Async") { (bytes: [UInt8], context) async throws -> [UInt8] in bytes }
        service.handle("Echo.Typed") { (message: Message, context) in message }
        service.afterStart { print("ready \(service.addresses.joined(separator: " "))") }
        try await service.run()
    }
}
