import Foundation
import Testing

extension EndToEnd {
    /// Examples/chat, with two people at their terminals.
    @Suite struct ChatTests {
        @Test func whatOneSaysTheOthersHear() async throws {
            let machine = try Machine()
            func chat(_ arguments: String...) throws -> Program {
                try Program(
                    Installation.chat, arguments, environment: machine.variables,
                    keeping: machine.folder)
            }
            let service = try chat("serve")
            _ = try await service.line(with: "listening on tcp://")
            let ada = try chat("join", "Ada")
            _ = try await ada.line(with: "room: Ada has come; 1 here")
            let bob = try chat("join", "Bob")
            _ = try await bob.line(with: "room: Bob has come; 2 here")
            _ = try await ada.line(with: "room: Bob has come; 2 here")

            try ada.write("Grüße\n")
            _ = try await bob.line(with: "Ada: Grüße")
            try bob.write("hello, Ada\n")
            _ = try await ada.line(with: "Bob: hello, Ada")

            // End of input: she has left, in order.
            ada.closeInput()
            #expect(try await ada.end().exit == .code(0))
            _ = try await bob.line(with: "room: Ada has left")

            // The service ends, and nobody has to press Enter to learn of it.
            service.send(SIGTERM)
            _ = try await bob.end()
            #expect(try await service.end().exit == .code(0))
        }
    }
}
