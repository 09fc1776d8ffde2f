import Micro
import Testing

extension EndToEnd {
    /// A service as grpcio's client sees it.
    @Suite struct GRPCClientTests {
        private struct Echoed: Decodable {
            let text: String
            let number: Int
        }

        private struct Failure: Decodable {
            let code: UInt32
            let details: String?
            let status: Status?
        }

        /// google.rpc.Status with a google.rpc.ErrorInfo, from grpc-status-details-bin.
        private struct Status: Decodable {
            let code: UInt32
            let message, reason, domain: String
            let types: [String]
            let metadata: [String: String]
        }

        private func observe<Observation: Decodable>(
            _ kitchen: Kitchen, _ scenario: String, as type: Observation.Type = Observation.self
        ) async throws -> Observation {
            try await Peer.observe("grpc_client.py", kitchen.address, scenario)
        }

        @Test func unary() async throws {
            try await Kitchen.open { kitchen in
                let reply = try await observe(kitchen, "unary", as: Echoed.self)
                #expect(reply.text == "crème")
                #expect(reply.number == 7)
            }
        }

        @Test func contentTypes() async throws {
            struct Seen: Decodable {
                let type, status, answerType, message, body: String
            }
            try await Kitchen.open { kitchen in
                let seen = try await Peer.observe(
                    "http_peer.py", kitchen.address, "grpc_types", as: [Seen].self)
                #expect(seen.count == 5)
                for (index, answer) in seen.enumerated() {
                    #expect(answer.answerType == answer.type)
                    if index < 3 {
                        #expect(answer.status == "0", "\(answer)")
                        #expect(answer.body == #"{"text":"a"}"#, "\(answer)")
                    } else {
                        // Refused, with what would be accepted.
                        #expect(answer.status == "3", "\(answer)")
                        #expect(answer.message.contains("application/json"), "\(answer)")
                        #expect(answer.body.isEmpty, "\(answer)")
                    }
                }
            }
        }

        @Test func errorsWithDetails() async throws {
            try await Kitchen.open { kitchen in
                let failures = try await observe(kitchen, "errors", as: [Failure].self)
                #expect(failures.map(\.code) == Array(1...16))
                for failure in failures {
                    #expect(failure.details == "line\nü %41")
                    let status = try #require(failure.status)
                    #expect(status.code == failure.code)
                    #expect(status.message == "line\nü %41")
                    #expect(status.types == ["type.googleapis.com/google.rpc.ErrorInfo"])
                    #expect(status.reason == "BURNT")
                    #expect(status.domain == "kitchen.fail")
                    #expect(status.metadata["dish"] == "soufflé")
                }
            }
        }

        @Test func malformedMessages() async throws {
            try await Kitchen.open { kitchen in
                let failures = try await observe(kitchen, "malformed", as: [Failure].self)
                #expect(failures.map(\.code) == [3, 3, 3])
                #expect(failures[1].details?.contains("text") == true, "\(failures[1])")
            }
        }

        @Test func deadline() async throws {
            try await Kitchen.open { kitchen in
                let failure = try await observe(kitchen, "deadline", as: Failure.self)
                #expect(failure.code == 4)
                // And the handler's task is cancelled.
                try await until("the handler is cancelled") { kitchen.slowCancelled == 1 }
                try await until("no handler runs") { kitchen.service.statistics.calls == 0 }
            }
        }

        @Test func cancellation() async throws {
            struct Seen: Decodable {
                let outcome, next: String
                let code: UInt32
            }
            try await Kitchen.open { kitchen in
                let peer = try Peer.start("grpc_client.py", kitchen.address, "cancel")
                try await until("the handler runs") { kitchen.slowStarted == 1 }
                #expect(kitchen.slowCancelled == 0)
                try peer.write("cancel\n")
                let seen = try await Peer.observation(of: peer, as: Seen.self)
                #expect(seen.outcome == "cancelled")
                #expect(seen.code == 1)
                #expect(seen.next == "crème")
                try await until("the handler is cancelled") { kitchen.slowCancelled == 1 }
                try await until("no handler runs") { kitchen.service.statistics.calls == 0 }
            }
        }

        /// A client that is killed cancels its calls too.
        @Test func aClientThatDies() async throws {
            try await Kitchen.open { kitchen in
                let peer = try Peer.start("grpc_client.py", kitchen.address, "cancel")
                try await until("the handler runs") { kitchen.slowStarted == 1 }
                peer.send(9)
                #expect(try await peer.end().exit == .signal(9))
                try await until("the handler is cancelled") { kitchen.slowCancelled == 1 }
                try await until("nothing is left") {
                    kitchen.service.statistics.calls == 0
                        && kitchen.service.statistics.connections == 0
                }
            }
        }

        @Test func metadata() async throws {
            struct Seen: Decodable {
                let reply: Kitchen.Seen
                let received: [[String]]
            }
            try await Kitchen.open { kitchen in
                let seen = try await observe(kitchen, "metadata", as: Seen.self)
                #expect(seen.reply.texts == ["a", "b"])
                #expect(seen.reply.bytes == [0, 1, 255])
                #expect(seen.reply.requestID == "r-7")
                // 30 s were given. grpcio rounds what is left up to three digits: 30,001 ms
                // travel as 30,100.
                #expect((20_000...30_100).contains(seen.reply.remainingMilliseconds))
                for entry in [["x-one", "1"], ["x-two", "a"], ["x-two", "b"]] {
                    #expect(seen.received.contains(entry), "\(seen.received)")
                }
                #expect(seen.received.contains(["x-raw-bin", "AP8K"]), "\(seen.received)")
            }
        }

        @Test func unknownMethods() async throws {
            try await Kitchen.open { kitchen in
                let failures = try await observe(kitchen, "unknown", as: [Failure].self)
                #expect(failures.map(\.code) == [12, 12, 12, 12])
                #expect(failures[0].details?.contains("/kitchen.Kitchen/Nothing") == true)
            }
        }

        @Test func oneMessageOnly() async throws {
            try await Kitchen.open { kitchen in
                let failure = try await observe(kitchen, "streams", as: Failure.self)
                #expect(failure.code == 12, "\(failure)")
            }
        }

        @Test func theLargestMessageAndOneByteMore() async throws {
            struct Seen: Decodable {
                let length, next: Int
                let refused: Failure
            }
            try await Kitchen.open { kitchen in
                let seen = try await observe(kitchen, "large", as: Seen.self)
                #expect(seen.length == 4 << 20)
                #expect(seen.refused.code == 8)
                #expect(seen.refused.details?.contains("\(4 << 20)") == true)
                #expect(seen.next == 3)
            }
        }

        @Test func aThousandCallsAtOnce() async throws {
            struct Seen: Decodable { let right: Int }
            try await Kitchen.open { kitchen in
                let seen = try await observe(kitchen, "many", as: Seen.self)
                #expect(seen.right == 1000)
                #expect(kitchen.service.statistics.connectionsTotal == 1)
                #expect(kitchen.service.statistics.callsTotal == 1000)
            }
        }
    }
}
