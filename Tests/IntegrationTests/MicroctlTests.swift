import Foundation
import Testing

extension EndToEnd {
    /// The command line.
    @Suite struct MicroctlTests {
        private static let ada = #"{"name":"Ada"}"#
        private static let hello = "{\"message\":\"Hello, Ada\"}\n"

        private func withGreeter(
            _ body: (Machine, String) async throws -> Void
        ) async throws {
            let machine = try Machine()
            let (greeter, address) = try await machine.serve("greeter")
            _ = try await greeter.log(with: "] registered")
            try await body(machine, address)
            greeter.send(SIGTERM)
            #expect(try await greeter.end().exit == .code(0))
        }

        private func json(_ result: Program.Result) throws -> Any {
            try JSONSerialization.jsonObject(with: Data(result.output.utf8))
        }

        // MARK: services

        @Test func services() async throws {
            try await withGreeter { machine, _ in
                let table = try await machine.microctl("services")
                #expect(table.exit == .code(0))
                let lines = table.output.split(separator: "\n")
                #expect(lines[0] == "NAME     VERSIONS  NODES  NAMESPACE")
                #expect(lines[1] == "greeter  1.0.0     1      micro")
                #expect(lines[2] == "in the local register \(machine.registerPath)")

                let result = try await machine.microctl("services", "--json")
                let list = try #require(try json(result) as? [[String: Any]])
                #expect(list.count == 1)
                #expect(list[0]["name"] as? String == "greeter")
                #expect(list[0]["versions"] as? [String] == ["1.0.0"])
                #expect(list[0]["nodes"] as? Int == 1)
                #expect(list[0]["namespace"] as? String == "micro")
            }
        }

        @Test func anEmptyRegister() async throws {
            let machine = try Machine()
            let services = try await machine.microctl("services")
            #expect(services.exit == .code(0))
            #expect(
                services.output == "no service is in the local register \(machine.registerPath)\n")
            #expect(try await machine.microctl("services", "--json").output == "[]\n")
            let describe = try await machine.microctl("describe", "greeter")
            #expect(describe.exit == .code(69))
            #expect(describe.errors.contains("it is empty"))
            let call = try await machine.microctl("call", "greeter", "Greeter.Hello", "{}")
            #expect(call.exit == .code(69))
            #expect(call.errors.contains("greeter"))
            #expect((describe.output + call.output).isEmpty)
        }

        @Test func theRegisterThatIsNamed() async throws {
            try await withGreeter { machine, _ in
                let other = try Machine()
                let register = "local:\(machine.registerPath)"
                let named = try await other.microctl("services", "--register", register)
                #expect(named.output.contains("greeter"))
                #expect(try await other.microctl("services").output.contains("no service"))
                let bad = try await other.microctl("services", "--register", "bogus")
                #expect(bad.exit == .code(67))
                #expect(bad.errors.contains("\"bogus\""))
            }
        }

        // MARK: describe

        @Test func describe() async throws {
            try await withGreeter { machine, address in
                let table = try await machine.microctl("describe", "greeter")
                #expect(table.exit == .code(0))
                let lines = table.output.split(separator: "\n")
                #expect(lines[0].hasPrefix("NODE "))
                #expect(lines[1].contains("tcp://\(address)"))
                #expect(lines[1].contains("ready"))
                #expect(lines[2] == "ENDPOINT       REQUEST       REPLY")
                #expect(lines[3] == "Greeter.Hello  HelloRequest  HelloReply")

                let result = try await machine.microctl("describe", "greeter", "--json")
                let nodes = try #require(try json(result) as? [[String: Any]])
                #expect(nodes.count == 1)
                #expect(nodes[0]["addresses"] as? [String] == ["tcp://\(address)"])
                let endpoints = try #require(nodes[0]["endpoints"] as? [[String: String]])
                #expect(endpoints.map { $0["name"] } == ["Greeter.Hello"])

                let unknown = try await machine.microctl("describe", "nobody")
                #expect(unknown.exit == .code(69))
                #expect(unknown.errors.contains("it holds greeter"))
            }
        }

        // MARK: explain

        @Test func explain() async throws {
            try await withGreeter { machine, address in
                let text = try await machine.microctl("explain", "greeter", "Greeter.Hello")
                #expect(text.exit == .code(0), "\(text.errors)")
                #expect(
                    text.output.hasPrefix("call      greeter Greeter.Hello\nnodes     from the"))
                #expect(text.output.contains("tcp://\(address)"))
                #expect(text.output.contains("\ntime      5 s, the client's default\n"))

                let rules = try TestFolder()
                let file = rules.path + "/rules.json"
                try #"{"rules":[{"name":"beta","headers":{"x-user":"7"},"to":[{"version":"9"}]}]}"#
                    .write(toFile: file, atomically: true, encoding: .utf8)
                let others = try await machine.microctl(
                    "explain", "greeter", "Greeter.Hello", "--rules", file, "-H", "x-user: 8",
                    "-o", "json")
                #expect(others.exit == .code(0), "\(others.errors)")
                let explanation = try #require(try json(others) as? [String: Any])
                #expect(explanation["rule"] == nil)
                let nodes = try #require(explanation["nodes"] as? [[String: Any]])
                #expect(nodes.map { $0["verdict"] as? String } == ["candidate"])

                let beta = try await machine.microctl(
                    "explain", "greeter", "Greeter.Hello", "--rules", file, "-H", "x-user: 7")
                #expect(beta.exit == .code(78))
                #expect(beta.output.contains("rule      beta: version 9 (0 ready), else fails"))
                #expect(beta.errors.contains("version 9 has no node, of 1 in all"))

                try #"{"rules":[{"name":"beta","to":[{"weight":-1}]}]}"#
                    .write(toFile: file, atomically: true, encoding: .utf8)
                let bad = try await machine.microctl("explain", "a", "B.C", "--rules", file)
                #expect(bad.exit == .code(67))
                #expect(bad.errors.contains("rule \"beta\": to[0].weight is -1"))
                let unknown = try await machine.microctl("explain", "nobody", "A.B")
                #expect(unknown.exit == .code(69))
            }
        }

        // MARK: call

        @Test func call() async throws {
            try await withGreeter { machine, address in
                let plain = try await machine.microctl("call", "greeter", "Greeter.Hello", Self.ada)
                #expect(plain.exit == .code(0))
                #expect(plain.output == Self.hello)
                #expect(plain.errors.isEmpty)

                let piped = try await machine.microctl(
                    "call", "greeter", "Greeter.Hello", "-", input: Self.ada + "\n")
                #expect(piped.output == Self.hello, "\(piped.errors)")

                let result = try await machine.microctl(
                    "call", "greeter", "Greeter.Hello", Self.ada, "--json")
                let answer = try #require(try json(result) as? [String: Any])
                #expect((answer["reply"] as? [String: String])?["message"] == "Hello, Ada")
                #expect((answer["node"] as? String)?.hasPrefix("greeter-") == true)
                #expect(answer["attempts"] as? Int == 1)

                // At an address, and without a register.
                for address in [address, "tcp://\(address)"] {
                    for endpoint in ["greeter.Greeter/Hello", "greeter/Greeter.Hello"] {
                        let direct = try await Machine().microctl(
                            "call", address, endpoint, Self.ada)
                        #expect(direct.output == Self.hello, "\(direct.errors)")
                    }
                }
            }
        }

        @Test func callsThatFail() async throws {
            try await withGreeter { machine, address in
                let cases: [(code: Int32, says: String, arguments: [String])] = [
                    (67, "whom to greet", ["greeter", "Greeter.Hello", #"{"name":""}"#]),
                    (67, "name", ["greeter", "Greeter.Hello"]),
                    (67, "", ["greeter", "Greeter.Hello", "{"]),
                    (76, "Greeter.Bye", ["greeter", "Greeter.Bye", Self.ada]),
                    (69, "nobody", ["nobody", "Greeter.Hello", Self.ada]),
                    (78, "", ["tcp://127.0.0.1:1", "greeter/Greeter.Hello", Self.ada]),
                    (67, "", ["greeter", "Greeter.Hello", Self.ada, "-H", "grpc-x: 1"]),
                ]
                for (code, says, arguments) in cases {
                    let result = try await Program.run(
                        Installation.microctl, ["call"] + arguments,
                        environment: machine.variables)
                    let about: Comment = "\(arguments): \(result.exit): \(result.errors)"
                    #expect(result.exit == .code(code), about)
                    #expect(result.output.isEmpty, about)
                    #expect(result.errors.hasPrefix("microctl: "), about)
                    #expect(says.isEmpty || result.errors.contains(says), about)
                    #expect(result.errors.split(separator: "\n").count == 1, about)
                }
            }
        }

        @Test func metadataAndTimeout() async throws {
            try await Kitchen.open { kitchen in
                let machine = try Machine()
                let seen = try await machine.microctl(
                    "call", kitchen.address, "kitchen/Kitchen.See", #"{"text":""}"#, "--json", "-H",
                    "x-text: a", "-H", "x-text:b", "-H", "X-Bytes-Bin: AAH/")
                let answer = try #require(try json(seen) as? [String: Any], "\(seen.errors)")
                let reply = try #require(answer["reply"] as? [String: Any])
                #expect(reply["texts"] as? [String] == ["a", "b"])
                #expect(reply["bytes"] as? [Int] == [0, 1, 255])
                let metadata = try #require(answer["metadata"] as? [String: [String]])
                #expect(metadata["x-two"] == ["a", "b"])
                #expect(metadata["x-raw-bin"] == ["AP8K"])

                let late = try await machine.microctl(
                    "call", kitchen.address, "kitchen/Kitchen.Slow", #"{"milliseconds":600000}"#,
                    "--timeout", "0.2")
                #expect(late.exit == .code(68), "\(late.errors)")
            }
        }

        // MARK: Arguments

        @Test func help() async throws {
            let machine = try Machine()
            let pages = [
                ["--help"], ["help"], [], ["services", "--help"], ["describe", "--help"],
                ["call", "--help"], ["new", "--help"],
            ]
            for arguments in pages {
                let result = try await Program.run(
                    Installation.microctl, arguments, environment: machine.variables)
                #expect(result.exit == .code(0), "\(arguments)")
                let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
                #expect(lines.count <= 40, "\(arguments): \(lines.count) lines")
                #expect(lines.allSatisfy { $0.count <= 80 }, "\(arguments)")
                #expect(result.output.contains("USAGE: microctl"))
            }
            let overview = try await machine.microctl("--help").output
            #expect(overview.contains("microctl call greeter Greeter.Hello '{\"name\":\"Ada\"}'"))
            #expect(overview.contains("Exit codes:"))
            #expect(try await machine.microctl("--version").output == "0.1.0\n")
        }

        @Test func wrongArguments() async throws {
            let machine = try Machine()
            let cases = [
                ["bogus"], ["services", "extra"], ["describe"], ["call"], ["call", "greeter"],
                ["call", "greeter", "Greeter.Hello", "{}", "-H", "no colon"],
                ["call", "greeter", "Greeter.Hello", "{}", "-H", "x-bin: no base64!"],
                ["call", "greeter", "Greeter.Hello", "{}", "--timeout", "0"],
                ["call", "greeter", "Greeter.Hello", "{}", "--timeout", "soon"],
                ["call", "tcp://127.0.0.1:1", "Greeter.Hello", "{}"],
                ["new"], ["new", "Shop"], ["new", "7up"], ["new", "shop-"], ["new", "../shop"],
                ["new", "micro"], ["new", "main"],
            ]
            for arguments in cases {
                let result = try await Program.run(
                    Installation.microctl, arguments, environment: machine.variables,
                    folder: machine.folder.path)
                #expect(result.exit == .code(64), "\(arguments): \(result.exit)")
                #expect(result.output.isEmpty, "\(arguments)")
                #expect(result.errors.hasPrefix("Error: "), "\(arguments): \(result.errors)")
            }
        }

        // MARK: new

        @Test func newDoesNotOverwrite() async throws {
            let machine = try Machine()
            let made = try await machine.microctl(
                "new", "shop", "--json", "--micro", Installation.root)
            let answer = try #require(try json(made) as? [String: Any], "\(made.errors)")
            #expect(answer["folder"] as? String == "shop")
            let files = try #require(answer["files"] as? [String])
            for file in files { #expect(try !machine.folder.text(of: "shop/\(file)").isEmpty) }
            let again = try await machine.microctl("new", "shop")
            #expect(again.exit == .code(70))
            #expect(again.errors.contains("shop is there already"))
            let lost = try await machine.microctl("new", "lost", "--micro", machine.folder.path)
            #expect(lost.exit == .code(73))
            #expect(lost.errors.contains("--micro"))
            #expect(throws: (any Error).self) { try machine.folder.text(of: "lost/Package.swift") }
        }

        /// The new package builds without a warning of its own, passes its test, and its programs
        /// work as its README says.
        @Test func newMakesAPackageThatWorks() async throws {
            let machine = try Machine()
            let made = try await machine.microctl("new", "order-book", "--micro", Installation.root)
            #expect(made.exit == .code(0), "\(made.errors)")
            let scratch = "\(Installation.root)/.build/new"
            func swift(_ arguments: String...) async throws -> Program.Result {
                try await Program.run(
                    "swift", arguments + ["--scratch-path", scratch, "-j", "2"],
                    folder: "\(machine.folder.path)/order-book", within: .seconds(1200))
            }
            let tested = try await swift("test")
            #expect(tested.exit == .code(0), "\(tested.output)\(tested.errors)")
            #expect(tested.output.contains("Test run with 1 test "), "\(tested.output)")
            #expect(!tested.output.contains("order-book/Sources"), "\(tested.output)")

            let service = try Program(
                "\(scratch)/debug/order-book", environment: machine.variables)
            _ = try await service.log(with: "] registered")
            let client = try await Program.run(
                "\(scratch)/debug/order-book-client", ["Ada"], environment: machine.variables)
            #expect(client.output == "Hello, Ada\n", "\(client.errors)")
            service.send(SIGTERM)
            #expect(try await service.end().exit == .code(0))
        }
    }
}
