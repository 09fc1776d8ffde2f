import Micro
import Testing

extension EndToEnd {
    /// The client against grpcio's server, by address and full method name.
    @Suite struct GRPCServerTests {
        private struct Order: Codable, Sendable {
            var code: UInt32
            var detail: String
            var withDetails: Bool
        }

        private func withPeer(
            _ body: (Client, CallOptions, Program) async throws -> Void
        ) async throws {
            let peer = try Peer.start("grpc_server.py")
            let port = try await peer.line(with: "port ").dropFirst("port ".count)
            let client = Client(resolver: StaticResolver(addresses: [:]))
            let options = CallOptions(timeout: .seconds(30), address: "tcp://127.0.0.1:\(port)")
            try await body(client, options, peer)
            await client.close()
            peer.closeInput()
            let result = try await peer.end()
            #expect(result.exit == .code(0), "\(result.errors)")
        }

        @Test func unary() async throws {
            try await withPeer { client, options, _ in
                let item = Kitchen.Item(text: "crème", number: 7)
                for number in 0..<100 {
                    let response: Response<Kitchen.Item> = try await client.response(
                        "peer", "peer.Peer/Echo", Kitchen.Item(text: "crème", number: number),
                        options: options)
                    #expect(response.reply == Kitchen.Item(text: item.text, number: number))
                    #expect(response.report.attempts == 1)
                }
            }
        }

        @Test func manyAtOnce() async throws {
            try await withPeer { client, options, _ in
                let right = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for number in 0..<500 {
                        group.addTask {
                            let item = Kitchen.Item(text: "many", number: number)
                            return try await client.call(
                                "peer", "peer.Peer/Echo", item, as: Kitchen.Item.self,
                                options: options) == item
                        }
                    }
                    return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                #expect(right == 500)
            }
        }

        @Test func errors() async throws {
            try await withPeer { client, options, _ in
                for code in UInt32(1)...16 {
                    for withDetails in [true, false] {
                        let order = Order(
                            code: code, detail: "line\nü %41", withDetails: withDetails)
                        let error = await failure {
                            _ = try await client.call(
                                "peer", "peer.Peer/Fail", order, as: Kitchen.Item.self,
                                options: options)
                        }
                        #expect(error?.code == MicroError.Code(rpc: code))
                        #expect(error?.detail == "line\nü %41")
                        #expect(error?.wasWritten == true)
                        guard withDetails else { continue }
                        #expect(error?.id == "peer.fail")
                        #expect(error?.reason == "BURNT")
                        #expect(error?.metadata["dish"] == "soufflé")
                    }
                }
                let error = await failure {
                    _ = try await client.call(
                        "peer", "peer.Peer/Nothing", Kitchen.Item(text: ""),
                        as: Kitchen.Item.self, options: options)
                }
                #expect(error?.code == .unimplemented)
            }
        }

        @Test func deadline() async throws {
            try await withPeer { client, options, peer in
                var options = options
                options.timeout = .milliseconds(300)
                let error = await failure {
                    _ = try await client.call(
                        "peer", "peer.Peer/Slow", Kitchen.Item(text: ""), as: Kitchen.Item.self,
                        options: options)
                }
                #expect(error?.code == .deadlineExceeded)
                #expect(error?.wasWritten == true)
                // The server heard of it.
                _ = try await peer.line(with: "cancelled")
                #expect(!peer.output.contains("not cancelled"))
            }
        }

        @Test func cancellation() async throws {
            try await withPeer { client, options, peer in
                let task = Task {
                    await failure {
                        _ = try await client.call(
                            "peer", "peer.Peer/Slow", Kitchen.Item(text: ""),
                            as: Kitchen.Item.self, options: options)
                    }
                }
                _ = try await peer.line(with: "started")
                task.cancel()
                #expect(await task.value?.code == .cancelled)
                _ = try await peer.line(with: "cancelled")
                #expect(!peer.output.contains("not cancelled"))
            }
        }

        @Test func metadata() async throws {
            struct Seen: Codable, Sendable {
                var metadata: [[JSONValue]]
                var remaining: Double
            }
            try await withPeer { client, options, _ in
                var options = options
                options.metadata.append("x-text", "a")
                options.metadata.append("x-text", "b")
                options.metadata.append("x-bytes-bin", bytes: [0, 1, 255])
                let response: Response<Seen> = try await client.response(
                    "peer", "peer.Peer/See", Kitchen.Item(text: ""), options: options)
                let seen = response.reply
                for value in ["a", "b"] {
                    #expect(seen.metadata.contains([.string("x-text"), .string(value)]))
                }
                let bytes = JSONValue.array([.integer(0), .integer(1), .integer(255)])
                #expect(seen.metadata.contains([.string("x-bytes-bin"), bytes]))
                #expect((20.0...30.0).contains(seen.remaining))
                // What came before the message, and what came behind it.
                #expect(response.metadata["x-first"] == "1")
                #expect(response.metadata[binary: "x-raw-bin"] == [0, 255])
                #expect(response.trailers["x-last"] == "2")
            }
        }

        @Test func messagesThatCannotBeRead() async throws {
            try await withPeer { client, options, _ in
                let empty = await failure {
                    _ = try await client.call(
                        "peer", "peer.Peer/Empty", Kitchen.Item(text: ""), as: Kitchen.Item.self,
                        options: options)
                }
                #expect(empty?.code == .internal)
                #expect(empty?.wasWritten == true)
                let most = 4 << 20
                let largest: String = try await client.call(
                    "peer", "peer.Peer/Large", most, options: options)
                #expect(largest.utf8.count == most - 2)
                let large = await failure {
                    _ = try await client.call(
                        "peer", "peer.Peer/Large", most + 1, as: String.self, options: options)
                }
                #expect(large?.code == .resourceExhausted)
                // The connection lives on.
                let next: Kitchen.Item = try await client.call(
                    "peer", "peer.Peer/Echo", Kitchen.Item(text: "next"), options: options)
                #expect(next.text == "next")
            }
        }

        @Test func aServerThatDies() async throws {
            try await withPeer { client, options, _ in
                let victim = try Peer.start("grpc_server.py")
                let port = try await victim.line(with: "port ").dropFirst("port ".count)
                var doomed = options
                doomed.address = "tcp://127.0.0.1:\(port)"
                let address = doomed
                let task = Task {
                    await failure {
                        _ = try await client.call(
                            "peer", "peer.Peer/Slow", Kitchen.Item(text: ""),
                            as: Kitchen.Item.self, options: address)
                    }
                }
                _ = try await victim.line(with: "started")
                victim.send(9)
                let lost = await task.value
                #expect(lost?.code == .unavailable)
                #expect(lost?.wasWritten == true)
                let refused = await failure {
                    _ = try await client.call(
                        "peer", "peer.Peer/Echo", Kitchen.Item(text: ""), as: Kitchen.Item.self,
                        options: address)
                }
                #expect(refused?.code == .unavailable)
                #expect(refused?.wasWritten == false)
            }
        }
    }
}
