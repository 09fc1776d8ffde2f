import Foundation
import Testing

extension EndToEnd {
    /// What is said when a service can't start.
    @Suite struct StartFailureTests {
        private func failsToStart(
            _ changes: [String: String], says words: String...
        ) async throws {
            let greeter = try Machine().start("greeter", changes)
            let result = try await greeter.end()
            #expect(result.exit != .code(0))
            #expect(!result.errors.contains(" ready"))
            for word in words { #expect(result.errors.contains(word), "\(result.errors)") }
        }

        @Test func unusableEngines() async throws {
            try await failsToStart(
                ["MICRO_REGISTER": "bogus:"], says: "MICRO_REGISTER", "\"bogus\"",
                "local, mdns, memory")
            try await failsToStart(
                ["MICRO_REGISTER": "nonsense"], says: "MICRO_REGISTER", "\"nonsense\"")
            try await failsToStart(
                ["MICRO_REGISTER": "local:relative"], says: "MICRO_REGISTER", "absolute")
            try await failsToStart(
                ["MICRO_STORE": "bogus:"], says: "MICRO_STORE", "\"bogus\"", "memory, sqlite")
            try await failsToStart(
                ["MICRO_STORE": "sqlite:relative/path"], says: "MICRO_STORE", "absolute")
            try await failsToStart(
                ["MICRO_BROKER": "nats://127.0.0.1"], says: "MICRO_BROKER", "nats://127.0.0.1",
                "memory:")
            try await failsToStart(
                ["MICRO_SYNC": "etcd://127.0.0.1"], says: "MICRO_SYNC", "MicroEtcd")
            try await failsToStart(["MICRO_SYNC": "bogus:"], says: "MICRO_SYNC", "memory, sqlite")
            // All of it at once.
            try await failsToStart(
                ["MICRO_REGISTER": "bogus:", "MICRO_BROKER": "nats:"], says: "MICRO_REGISTER",
                "MICRO_BROKER")
        }

        @Test func unusableAddresses() async throws {
            try await failsToStart(
                ["MICRO_SERVER_ADDRESS": "carrier-pigeon://x"], says: "carrier-pigeon",
                "tcp, tls, unix")
            try await failsToStart(["MICRO_SERVER_ADDRESS": "127.0.0.1"], says: "127.0.0.1")
            try await failsToStart(["MICRO_SERVER_ADDRESS": "127.0.0.1:port"], says: "port")
            let missing = "unix:///nonexistent-folder/greeter.sock"
            try await failsToStart(["MICRO_SERVER_ADDRESS": missing], says: missing)
        }

        @Test func anAddressThatIsTaken() async throws {
            let (greeter, address) = try await Machine().serve("greeter")
            try await failsToStart(
                ["MICRO_SERVER_ADDRESS": address], says: "tcp://\(address)", "in use")
            // It took nothing away from the one that has it.
            let answer = try await curl(
                "--json", #"{"name":"Ada"}"#, "http://\(address)/greeter/Greeter.Hello")
            #expect(answer.status == 200)
            greeter.send(SIGTERM)
            #expect(try await greeter.end().exit == .code(0))
        }

        /// Several addresses, one of them a socket file.
        @Test func severalAddresses() async throws {
            let machine = try Machine()
            let socket = "\(machine.folder.path)/greeter.sock"
            let (greeter, address) = try await machine.serve(
                "greeter", ["MICRO_SERVER_ADDRESS": "127.0.0.1:0,unix://\(socket)"])
            for target in [["http://\(address)"], ["--unix-socket", socket, "http://localhost"]] {
                var arguments = ["--json", #"{"name":"Ada"}"#] + target
                arguments[arguments.count - 1] += "/greeter/Greeter.Hello"
                let answer = try await curl(arguments)
                #expect(answer.body == #"{"message":"Hello, Ada"}"#)
            }
            greeter.send(SIGTERM)
            #expect(try await greeter.end().exit == .code(0))
            #expect(!FileManager.default.fileExists(atPath: socket))
        }
    }
}
