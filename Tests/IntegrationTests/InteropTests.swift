import Foundation
import Testing

extension EndToEnd {
    /// The public interoperability tests of gRPC: our client and server with each other, and with
    /// grpcio on either side. The clients are strict; here it counts that they ran every case.
    @Suite struct InteropTests {
        private static let cases = 18

        /// Serves while `body` calls there: encrypted, when there are certificates.
        private func serve(
            _ certificates: Certificates? = nil, _ body: (_ port: String) async throws -> Void
        ) async throws {
            let encryption =
                certificates.map {
                    ["--tls", "--cert", $0.path("server.pem"), "--key", $0.path("server.key")]
                } ?? []
            let server = try Program(
                Installation.interop, ["server", "--port", "0"] + encryption)
            let line = try await server.line(with: "listening on 127.0.0.1:")
            try await body(String(line.split(separator: ":").last ?? ""))
            server.send(SIGTERM)
            let result = try await server.end()
            #expect(result.exit == .code(0), "\(result.errors)")
        }

        private static let serverName = "interop.test"

        private func makeCertificates(_ isEncrypted: Bool) async throws -> Certificates? {
            guard isEncrypted else { return nil }
            let certificates = try await Certificates()
            try await certificates.issue(
                "server", "DNS:\(Self.serverName)", usage: "serverAuth")
            return certificates
        }

        private func runOurClient(
            _ port: String, _ certificates: Certificates?
        ) async throws -> Program.Result {
            let encryption =
                certificates.map {
                    ["--tls", "--ca", $0.ca, "--server-host-override", Self.serverName]
                } ?? []
            return try await Program.run(
                Installation.interop, ["client", "--port", port] + encryption)
        }

        private func expectAllPassed(_ result: Program.Result) {
            #expect(result.exit == .code(0), "\(result.output)\(result.errors)")
            #expect(result.output.hasSuffix("\(Self.cases) passed, 0 failed\n"), "\(result.output)")
        }

        /// What generated code serves is described: stock tools need no .proto.
        @Test func itIsCalledByReflection() async throws {
            try await serve { port in
                let machine = try Machine()
                let address = "127.0.0.1:\(port)"
                let description = try await machine.microctl("describe", address)
                #expect(description.output.contains("grpc.testing.TestService/FullDuplexCall"))
                let reply = try await machine.microctl(
                    "call", address, "grpc.testing.TestService/UnaryCall",
                    #"{"responseSize":3}"#, "--reflect")
                #expect(reply.exit == .code(0), "\(reply.errors)")
                #expect(reply.output.contains(#""body":"AAAA""#), "\(reply.output)")
            }
        }

        @Test(arguments: [false, true])
        func ourClientAndOurServer(isEncrypted: Bool) async throws {
            let certificates = try await makeCertificates(isEncrypted)
            try await serve(certificates) { port in
                expectAllPassed(try await runOurClient(port, certificates))
            }
        }

        @Test(arguments: [false, true])
        func ourClientAndTheServerOfGRPCIO(isEncrypted: Bool) async throws {
            let certificates = try await makeCertificates(isEncrypted)
            let files = certificates.map { [$0.path("server.pem"), $0.path("server.key")] } ?? []
            let peer = try Peer.start("interop_server.py", files)
            let port = try await peer.line(with: "port ").dropFirst("port ".count)
            expectAllPassed(try await runOurClient(String(port), certificates))
            peer.closeInput()
            let result = try await peer.end()
            #expect(result.exit == .code(0), "\(result.errors)")
        }

        @Test(arguments: [false, true])
        func theClientOfGRPCIOAndOurServer(isEncrypted: Bool) async throws {
            let certificates = try await makeCertificates(isEncrypted)
            try await serve(certificates) { port in
                let trust = certificates.map { [$0.ca, Self.serverName] } ?? []
                let peer = try Peer.start("interop_client.py", ["127.0.0.1:\(port)"] + trust)
                expectAllPassed(try await peer.end())
            }
        }

        /// A certificate for another name than the one that is called, and an authority that nobody
        /// knows.
        @Test func aServerThatIsNotTrusted() async throws {
            let certificates = try await makeCertificates(true)
            let other = try await Certificates()
            try await serve(certificates) { port in
                for arguments in [
                    ["--ca", certificates?.ca ?? ""],
                    ["--ca", other.ca, "--server-host-override", Self.serverName],
                ] {
                    let result = try await Program.run(
                        Installation.interop,
                        ["client", "--port", port, "--case", "empty_unary", "--tls"] + arguments)
                    #expect(result.exit == .code(1))
                    #expect(result.output.hasPrefix("FAILED empty_unary: UNAVAILABLE"))
                }
            }
        }

        /// A client that could not fail would prove nothing.
        @Test func aCaseThatFailsIsSaid() async throws {
            try await Kitchen.open { kitchen in
                let port = String(kitchen.address.split(separator: ":").last ?? "")
                let one = try await Program.run(
                    Installation.interop, ["client", "--port", port, "--case", "large_unary"])
                #expect(one.exit == .code(1))
                #expect(one.output.hasPrefix("FAILED large_unary: UNIMPLEMENTED"), "\(one.output)")
                #expect(one.output.hasSuffix("\n0 passed, 1 failed\n"))
                let all = try await Program.run(Installation.interop, ["client", "--port", port])
                #expect(all.exit == .code(1))
                // What a server says that knows nothing of it, and whoever does not wait for it.
                for name in ["unimplemented_method", "unimplemented_service", "cancel_after_begin"]
                {
                    #expect(all.output.contains("passed \(name)\n"))
                }
                // Its millisecond may be over before the server has refused.
                let isLate = all.output.contains("passed timeout_on_sleeping_server\n")
                let sums = isLate ? "\n4 passed, 14 failed\n" : "\n3 passed, 15 failed\n"
                #expect(all.output.hasSuffix(sums), "\(all.output)")
                let unknown = try await Program.run(
                    Installation.interop, ["client", "--port", port, "--case", "nothing"])
                #expect(unknown.exit == .code(64))
                #expect(unknown.errors.contains("there is no such case"))
            }
        }

        /// The same endpoints over plain HTTP: messages in JSON, and in their binary form.
        @Test func withCurl() async throws {
            try await serve { port in
                let url = "http://127.0.0.1:\(port)/grpc.testing.TestService"
                let unary = try await curl("--json", #"{"responseSize":3}"#, "\(url)/UnaryCall")
                #expect(unary.status == 200)
                #expect(unary.headers["content-type"] == "application/json")
                #expect(unary.body == #"{"payload":{"body":"AAAA"}}"#)

                let many = #"{"responseParameters":[{"size":3},{"size":0}]}"#
                let stream = try await curl("--json", many, "\(url)/StreamingOutputCall")
                #expect(stream.body == "{\"payload\":{\"body\":\"AAAA\"}}\n{\"payload\":{}}\n")

                let binary = try await curl(
                    "-H", "content-type: application/x-protobuf", "-d", "", "\(url)/EmptyCall")
                #expect(binary.status == 200)
                #expect(binary.headers["content-type"] == "application/protobuf")
                #expect(binary.body == "")

                let wrong = try await curl("--json", #"{"responseSize":"x"}"#, "\(url)/UnaryCall")
                #expect(wrong.status == 400)
                #expect(wrong.body.contains("grpc.testing.SimpleRequest"), "\(wrong.body)")
                let text = try await curl(
                    "-H", "content-type: text/plain", "-d", "x", "\(url)/UnaryCall")
                #expect(text.status == 415)
                #expect(text.body.contains("application/protobuf, application/json"))
            }
        }

        @Test func withMicroctl() async throws {
            try await serve { port in
                let machine = try Machine()
                let result = try await machine.microctl(
                    "call", "127.0.0.1:\(port)", "grpc.testing.TestService/UnaryCall",
                    #"{"responseSize":3}"#)
                #expect(result.output == "{\"payload\":{\"body\":\"AAAA\"}}\n", "\(result.errors)")
            }
        }
    }
}
