import Micro

/// A chat between terminals, over streams in both directions.
///
///     chat serve
///     chat join Ada
///     chat join Bob 127.0.0.1:4711
@main
struct Chat {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        switch (arguments.first, arguments.count) {
        case ("serve", 1):
            let service = makeChatService()
            service.afterStart {
                say("listening on \(service.addresses.joined(separator: ", "))")
            }
            try await service.run()
        case ("join", 2...3):
            let name = arguments[arguments.startIndex + 1]
            let address = arguments.count == 3 ? arguments.last : nil
            try await ChatMember(name: name, address: address).join()
        default:
            say("usage: chat serve | chat join NAME [ADDRESS]")
        }
    }
}
