import Foundation
import Micro
import Testing

extension EndToEnd {
    /// The command line against a gRPC server in Python that speaks protobuf only.
    @Suite struct ReflectedCallTests {
        private func withZoo(_ body: (Machine, String, Program) async throws -> Void) async throws {
            let peer = try Peer.start("grpc_reflection_server.py")
            let port = try await peer.line(with: "port ").dropFirst("port ".count)
            try await body(try Machine(), "127.0.0.1:\(port)", peer)
            peer.closeInput()
            let result = try await peer.end()
            #expect(result.exit == .code(0), "\(result.errors)")
        }

        private func json(_ text: String) throws -> NSDictionary {
            let object = try JSONSerialization.jsonObject(with: Data(text.utf8))
            return try #require(object as? NSDictionary)
        }

        // MARK: health

        @Test func health() async throws {
            try await withZoo { machine, address, peer in
                let whole = try await machine.microctl("health", address)
                #expect(whole.exit == .code(0), "\(whole.errors)")
                #expect(whole.output == "SERVING\n")

                let zoo = try await machine.microctl(
                    "health", "tcp://\(address)", "--service", "zoo.Zoo", "--json")
                #expect(zoo.exit == .code(1))
                #expect(zoo.output == "{\"service\":\"zoo.Zoo\",\"status\":\"NOT_SERVING\"}\n")

                let nobody = try await machine.microctl("health", address, "--service", "nobody")
                #expect(nobody.exit == .code(1))
                #expect(nobody.output.isEmpty)
                #expect(nobody.errors.hasPrefix("microctl: NOT_FOUND"), "\(nobody.errors)")
            }
        }

        @Test func healthThatIsWatched() async throws {
            try await withZoo { machine, address, peer in
                let watching = try Program(
                    Installation.microctl, ["health", address, "--service", "zoo.Zoo", "--watch"],
                    environment: machine.variables)
                _ = try await watching.line(with: "NOT_SERVING")
                try peer.write("SERVING\n")
                try await until("SERVING is told") {
                    watching.output == "NOT_SERVING\nSERVING\n"
                }
                watching.send(SIGKILL)
            }
        }

        @Test func healthOfAService() async throws {
            let machine = try Machine()
            let register = try makeRegister(url: "local:\(machine.registerPath)")
            var watching: Program?
            var gone = ""
            try await Kitchen.open {
                $0.register = register
            } _: { kitchen in
                gone = kitchen.address
                try await until("it is in the register") { kitchen.service.readiness.isReady }
                for name in ["kitchen", kitchen.address] {
                    for service in ["", "kitchen", "kitchen.Kitchen"] {
                        let result = try await machine.microctl(
                            "health", name, "--service", service)
                        #expect(result.output == "SERVING\n", "\(result.errors)")
                        #expect(result.exit == .code(0))
                    }
                }
                let watcher = try Program(
                    Installation.microctl, ["health", "kitchen", "--watch"],
                    environment: machine.variables)
                watching = watcher
                _ = try await watcher.line(with: "SERVING")
            }
            await register.close()
            // It was told the end, which a watcher does not hold.
            let result = try await #require(watching).end()
            #expect(result.output == "SERVING\nNOT_SERVING\n", "\(result.errors)")
            #expect(result.exit == .code(1))
            let none = try await machine.microctl("health", gone)
            #expect(none.exit == .code(1))
            #expect(none.errors.hasPrefix("microctl: UNAVAILABLE"), "\(none.errors)")
        }

        // MARK: call

        @Test(arguments: [
            #"{}"#,
            #"{"aDouble":-1.5,"aFloat":0.1,"aInt64":"-9","aUint64":"18446744073709551615"}"#,
            #"{"aInt32":-2147483648,"aFixed64":"7","aFixed32":4294967295,"aBool":true}"#,
            #"{"aString":"crème ☕","aBytes":"AP+/","aUint32":4294967295,"aSfixed32":-1}"#,
            #"{"aSfixed64":"-1","aSint32":-5,"aSint64":"-9223372036854775808"}"#,
            #"{"manyDouble":[1,"NaN"],"manyInt32":[1,-1,0],"manyString":["a",""]}"#,
            #"{"manySint64":["-1","1"],"manyFixed32":[1,2],"manyBytes":["","AA=="]}"#,
            #"{"animal":{"displayName":"Tom","kind":"CAT"},"animals":{"-3":{"kind":"DOG"}}}"#,
            #"{"text":"x"}"#, #"{"pet":{"displayName":"Rex"}}"#,
            #"{"wkTimestamp":"2026-02-28T23:59:59.123456789Z","wkDuration":"-3.500s"}"#,
            #"{"wkTimestamp":"1969-12-31T23:59:59.999Z"}"#,
            #"{"wkMask":"animal.displayName,aDouble","wkWrapped":"0","wkEmpty":{}}"#,
            #"{"wkStruct":{"a":[1.5,"x",null,true,{"b":{}}]},"wkList":[[],1.5],"wkValue":null}"#,
            #"{"wkAny":{"@type":"type.googleapis.com/zoo.Animal","displayName":"Any"}}"#,
            #"{"wkAny":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}}"#,
        ])
        func everyTypeIsAsProtobufSays(message: String) async throws {
            try await withZoo { machine, address, _ in
                let result = try await machine.microctl("call", address, "zoo.Zoo/Echo", message)
                #expect(result.exit == .code(0), "\(result.errors)")
                let reply = try json(result.output)
                let theirs = try json(try #require(reply["json"] as? String))
                // What they make of what was sent, and what we make of what they sent.
                #expect(theirs == (try json(message)))
                #expect(reply["message"] as? NSDictionary ?? [:] == theirs)
            }
        }

        @Test func streams() async throws {
            try await withZoo { machine, address, _ in
                let count = try await machine.microctl(
                    "call", address, "zoo.Zoo/Count", #"{"value":3}"#)
                #expect(count.output == "{}\n{\"value\":\"1\"}\n{\"value\":\"2\"}\n")
                #expect(count.exit == .code(0), "\(count.errors)")

                let sum = try await machine.microctl(
                    "call", address, "zoo.Zoo/Sum", "-",
                    input: "{\"value\":3}\n\n{\"value\":\"4\"}\n")
                #expect(sum.output == "{\"value\":\"7\"}\n", "\(sum.errors)")

                let wrong = try await machine.microctl(
                    "call", address, "zoo.Zoo/Chat", "-", input: "{\"value\":3}\n{\"nothing\":4}\n")
                #expect(wrong.exit == .code(67), "\(wrong.output)")
                #expect(wrong.errors.contains("nothing: zoo.Number has no such field"))
            }
        }

        @Test func aConversation() async throws {
            try await withZoo { machine, address, _ in
                let chat = try Program(
                    Installation.microctl,
                    ["call", address, "zoo.Zoo/Chat", "-", "--timeout", "60"],
                    environment: machine.variables)
                for value in 1...3 {
                    try chat.write("{\"value\":\(value)}\n")
                    _ = try await chat.line(with: "{\"value\":\"\(2 * value)\"}")
                }
                chat.closeInput()
                #expect(try await chat.end().exit == .code(0))
            }
        }

        /// Whoever waits for the next line of a terminal is not waited for.
        @Test func theServerEndsAConversation() async throws {
            let peer = try Peer.start("grpc_reflection_server.py")
            let port = try await peer.line(with: "port ").dropFirst("port ".count)
            let chat = try Program(
                Installation.microctl, ["call", "127.0.0.1:\(port)", "zoo.Zoo/Chat", "-"],
                environment: try Machine().variables)
            try chat.write("{\"value\":1}\n")
            _ = try await chat.line(with: "{\"value\":\"2\"}")
            peer.send(SIGKILL)
            let result = try await chat.end()
            #expect(result.exit == .code(78), "\(result.errors)")
        }

        /// A service of ours describes its own gRPC services, and the rest is called with JSON.
        @Test func oursByReflection() async throws {
            let machine = try Machine()
            let register = try makeRegister(url: "local:\(machine.registerPath)")
            try await Kitchen.open {
                $0.register = register
            } _: { kitchen in
                try await until("it is in the register") { kitchen.service.readiness.isReady }
                for arguments in [["kitchen", "--reflect"], [kitchen.address]] {
                    let check = try await Program.run(
                        Installation.microctl,
                        ["call"] + arguments.prefix(1)
                            + ["grpc.health.v1.Health/Check", #"{"service":"kitchen"}"#]
                            + arguments.dropFirst(),
                        environment: machine.variables)
                    #expect(check.output == "{\"status\":\"SERVING\"}\n", "\(check.errors)")
                }
                let list = try await machine.microctl(
                    "call", kitchen.address, "grpc.health.v1.Health/List")
                let statuses = try #require(try json(list.output)["statuses"] as? NSDictionary)
                #expect(statuses.count == 4, "\(list.output)")
                let item = #"{"text":"plain"}"#
                let echo = try await machine.microctl(
                    "call", kitchen.address, "kitchen.Kitchen/Echo", item)
                #expect(echo.output == item + "\n", "\(echo.errors)")
                let forced = try await machine.microctl(
                    "call", kitchen.address, "kitchen.Kitchen/Echo", item, "--reflect")
                #expect(forced.exit == .code(69))
                #expect(forced.errors.contains("does not describe kitchen.Kitchen"))
            }
            await register.close()
        }

        @Test func errors() async throws {
            try await withZoo { machine, address, _ in
                let cases: [(Int32, String, String, String)] = [
                    (67, "zoo.Zoo/Echo", #"{"animal":{"kind":"COW"}}"#, "animal.kind: zoo.Kind"),
                    (67, "zoo.Zoo/Echo", "{", "line 1"),
                    (69, "zoo.Zoo/Fail", #"{"value":5}"#, "asked"),
                    (67, "zoo.Zoo/Count", #"{"value":"x"}"#, "value: a whole number"),
                ]
                for (code, endpoint, message, says) in cases {
                    let result = try await machine.microctl("call", address, endpoint, message)
                    #expect(result.exit == .code(code), "\(result.errors)")
                    #expect(result.errors.contains(says), "\(result.errors)")
                    #expect(result.output.isEmpty)
                }
                for (endpoint, says) in [
                    ("zoo.Zoo/Fly", "zoo.Zoo has Echo, Fail, Count, Sum, Chat"),
                    ("no.Body/Do", "no.Body"),
                ] {
                    let result = try await machine.microctl(
                        "call", address, endpoint, "--reflect")
                    #expect(result.exit == .code(69), "\(result.errors)")
                    #expect(result.errors.contains(says), "\(result.errors)")
                }
                let forced = try await machine.microctl(
                    "call", address, "zoo.Zoo/Echo", "{}", "--no-reflect")
                #expect(forced.exit != .code(0))
            }
        }

        // MARK: describe

        @Test func describe() async throws {
            try await withZoo { machine, address, _ in
                let table = try await machine.microctl("describe", address)
                #expect(table.exit == .code(0), "\(table.errors)")
                let words = table.output.split(separator: "\n").map {
                    $0.split(separator: " ").joined(separator: " ")
                }
                #expect(words[0] == "ENDPOINT REQUEST REPLY")
                #expect(words.contains("zoo.Zoo/Echo zoo.Everything zoo.Echoed"))
                #expect(words.contains("zoo.Zoo/Chat stream zoo.Number stream zoo.Number"))
                #expect(words.contains { $0.hasPrefix("grpc.health.v1.Health/Check ") })
            }
            try await Kitchen.open { kitchen in
                let table = try await Machine().microctl("describe", kitchen.address)
                #expect(table.output.contains("kitchen.Kitchen/?"), "\(table.errors)")
                #expect(table.output.contains("not described"))
            }
        }
    }
}
