import Foundation
import Micro
import Testing

extension EndToEnd {
    /// Services over a transport of somebody else, from a shared object.
    @Suite struct PluginTests {
        private struct Hello: Codable, Sendable { var name: String }
        private struct Greeting: Codable, Sendable { var message: String }

        /// Builds the example of shared memory where nobody else may write.
        private func sharedMemory(_ folder: TestFolder) async throws -> String {
            try await build("Examples/shm/shm.c", in: folder)
        }

        private func build(_ source: String, in folder: TestFolder) async throws -> String {
            let name = source.split(separator: "/").last ?? "plugin"
            let path = "\(folder.path)/\(name).so"
            let built = try await Program.run(
                "cc",
                [
                    "-std=c11", "-O2", "-fPIC", "-fvisibility=default", "-shared",
                    "-I\(Installation.root)/include", "\(Installation.root)/\(source)", "-o", path,
                ])
            try #require(built.exit == .code(0), "\(built.errors)")
            return path
        }

        @Test func microctlRunsTheConformanceKit() async throws {
            let folder = try TestFolder()
            let good = try await sharedMemory(folder)
            let passed = try await Program.run(
                Installation.microctl, ["transport", "test", "--only", "echo,refused", good])
            #expect(passed.exit == .code(0), "\(passed.errors)")
            #expect(passed.output.hasSuffix("2 passed, 0 failed\n"), "\(passed.output)")

            let bad = try await build("Tests/TransportKit/bad/sent_swapped.c", in: folder)
            let failed = try await Program.run(
                Installation.microctl, ["transport", "test", "--only", "splits-many", bad])
            #expect(failed.exit == .code(1))
            #expect(failed.output.contains("FAIL splits-many: sent-order: "), "\(failed.output)")

            let missing = try await Program.run(
                Installation.microctl, ["transport", "test", "/not/there.so"])
            #expect(missing.exit == .code(2))
            #expect(missing.errors.contains("/not/there.so"), "\(missing.errors)")
        }

        @Test func aServiceRunsOverAPluginBySettingOneVariable() async throws {
            let machine = try Machine()
            let plugin = try await sharedMemory(machine.folder)
            let changes = [
                "MICRO_TRANSPORT": "plugin:\(plugin)?ring=64k", "MICRO_SERVER_ADDRESS": "",
            ]
            let greeter = try machine.start("greeter", changes)
            let ready = try await greeter.log(with: " ready")
            #expect(ready.contains("shm://"), "\(ready)")
            let called = try await Program.run(
                Installation.microctl, ["call", "greeter", "Greeter.Hello", #"{"name":"Ada"}"#],
                environment: machine.variables.merging(changes) { $1 })
            #expect(called.output == "{\"message\":\"Hello, Ada\"}\n", "\(called.errors)")

            // Who does not have the plugin is told what is missing.
            let without = try await machine.microctl(
                "call", "greeter", "Greeter.Hello", #"{"name":"Ada"}"#)
            #expect(without.errors.contains("unknown scheme \"shm\""), "\(without.errors)")
            #expect(without.exit != .code(0))
            greeter.send(SIGTERM)
            #expect(try await greeter.end().exit == .code(0))
        }

        @Test func whatIsWrongWithThePluginIsSaidAtTheStart() async throws {
            let machine = try Machine()
            let plugin = try await sharedMemory(machine.folder)
            for (url, problem) in [
                ("plugin:\(plugin)?wheels=4", "wheels"),
                ("plugin:\(plugin)?ring=3", "ring"),
                ("plugin:\(plugin)?sha256=\(String(repeating: "0", count: 64))", "SHA-256"),
                ("plugin:/not/there.so", "No such file"),
                ("pigeon:", "is no transport"),
            ] {
                let greeter = try machine.start(
                    "greeter", ["MICRO_TRANSPORT": url, "MICRO_SERVER_ADDRESS": ""])
                let result = try await greeter.end()
                #expect(result.exit != .code(0))
                #expect(result.errors.contains(problem), "\(url): \(result.errors)")
            }
        }

        /// TLS lies over a plugin as over TCP, and connections are spread over the loops.
        @Test func tlsLiesOverAPlugin() async throws {
            let folder = try TestFolder()
            let plugin = try TransportPlugin(path: try await sharedMemory(folder))
            #expect(plugin.name == "shm")
            #expect(!plugin.isSecure)
            let certificates = try await Certificates(in: folder)
            try await certificates.issue("server", "DNS:greeter.example", usage: "serverAuth")
            var options = ServerOptions(
                tls: ServerTLSOptions(
                    certificate: .file(certificates.path("server.pem")),
                    key: .file(certificates.path("server.key"))))
            options.transports = [plugin]
            let server = Server(name: "greeter", options: options)
            server.handle("Greeter.Hello") { (request: Hello, _) in
                Greeting(message: "Hello, \(request.name)")
            }
            try await server.start()
            let address = try #require(server.addresses.first)
            #expect(address.hasPrefix("tls+shm://"))
            var clientOptions = ClientOptions(
                tls: ClientTLSOptions(
                    ca: .file(certificates.ca), serverName: "greeter.example"))
            clientOptions.transports = [plugin]
            let client = Client(resolver: StaticResolver([:]), options: clientOptions)
            for _ in 0..<100 {
                let reply: Greeting = try await client.call(
                    "greeter", "Greeter.Hello", Hello(name: "Ada"),
                    options: CallOptions(address: address))
                #expect(reply.message == "Hello, Ada")
            }
            #expect(server.statistics.handshakes > 0)
            await client.close()
            try await server.drain()
        }
    }
}
