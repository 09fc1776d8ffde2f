import Micro
import Testing

extension EndToEnd {
    /// Peers that break the rules: they are thrown out, the service lives, and nobody else notices.
    @Suite struct MisbehavingPeerTests {
        private struct Outcome: Decodable {
            let closed: Bool
            let goaways: [UInt32]
            let resets: Int
            let sent: Int
        }

        /// Runs a scenario while an honest caller calls, who must not lose a call.
        private func observe<Observation: Decodable>(
            _ scenario: String, as type: Observation.Type = Observation.self,
            _ change: (inout ServiceOptions) -> Void = { _ in },
            _ judge: (Observation, Kitchen) async throws -> Void
        ) async throws {
            try await Kitchen.open(change) { kitchen in
                let honest = HonestCaller(kitchen.address)
                let observation = try await Peer.observe(
                    "http_peer.py", kitchen.address, scenario, as: Observation.self)
                let (answered, failures) = await honest.finish()
                #expect(failures.isEmpty)
                #expect(answered > 0)
                try await judge(observation, kitchen)
                try await until("nothing is left") {
                    kitchen.service.statistics.calls == 0
                        && kitchen.service.statistics.connections == 0
                }
            }
        }

        @Test func garbage() async throws {
            struct End: Decodable {
                let closed: Bool
                let seconds: Double
                let answer: String
            }
            try await observe("garbage", as: [End].self) { ends, _ in
                #expect(ends.count == 4)
                for end in ends {
                    #expect(end.closed)
                    // At once, and not after a timeout.
                    #expect(end.seconds < 4, "\(end.answer)")
                }
            }
        }

        /// Whoever connects and is silent, in the middle of anything, is not waited for.
        @Test func silence() async throws {
            struct End: Decodable {
                let closed: Bool
                let seconds: Double
                let answer: String
            }
            let limit = Duration.milliseconds(300)
            try await observe(
                "silence", as: [End].self,
                {
                    $0.server.prefaceTimeout = limit
                    $0.server.headerTimeout = limit
                    $0.server.bodyTimeout = limit
                    $0.server.idleTimeout = limit
                },
                { ends, _ in
                    #expect(ends.count == 6)
                    for end in ends {
                        #expect(end.closed, "\(end.answer)")
                        #expect(end.seconds > 0.25, "\(end.answer)")
                    }
                    for end in ends.suffix(2) {
                        #expect(end.answer.hasPrefix("HTTP/1.1 408 "), "\(end.answer)")
                    }
                })
        }

        @Test func portScanner() async throws {
            struct Scan: Decodable { let connections: UInt64 }
            try await observe("scan", as: Scan.self) { scan, kitchen in
                try await until("all were accepted") {
                    kitchen.service.statistics.connectionsTotal >= scan.connections
                }
            }
        }

        @Test func requestSmuggling() async throws {
            struct Answer: Decodable {
                let closed: Bool
                let statuses: [Int]
            }
            try await observe("smuggling", as: [String: Answer].self) { answers, _ in
                #expect(answers.count == 31)
                for (name, answer) in answers {
                    #expect(answer.closed, "\(name)")
                    // One refusal, and nothing for what followed.
                    #expect(answer.statuses.count == 1, "\(name): \(answer.statuses)")
                    #expect(
                        answer.statuses.allSatisfy { [400, 413, 501, 505].contains($0) },
                        "\(name): \(answer.statuses)")
                }
            }
        }

        @Test func oversizedHeaders() async throws {
            struct Seen: Decodable { let statuses: [String] }
            try await observe("huge_headers", as: Seen.self) { seen, _ in
                #expect(seen.statuses == ["431", "200"])
            }
            try await observe("too_many_headers", as: Outcome.self) { outcome, kitchen in
                #expect(outcome.closed)
                #expect(kitchen.slowStarted == 0)
            }
        }

        @Test func earlyRefusals() async throws {
            struct Answer: Decodable { let status, type, body: String }
            try await observe("early_refusals", as: [Answer].self) { answers, _ in
                #expect(answers.map(\.status) == ["404", "405", "400", "200"])
                for answer in answers.dropLast() {
                    #expect(answer.type == "application/problem+json")
                    #expect(answer.body.hasSuffix("}"), "\(answer.body)")
                }
                #expect(answers.last?.body == #"{"text":"a"}"#)
            }
        }

        @Test func rapidReset() async throws {
            try await observe("rapid_reset", as: Outcome.self) { outcome, kitchen in
                #expect(outcome.closed)
                #expect(outcome.goaways.last == 11)  // ENHANCE_YOUR_CALM
                #expect(outcome.sent < 50_000)  // it was closed before all was sent
                // Every handler that was started was cancelled.
                try await until("all handlers are cancelled") {
                    kitchen.slowCancelled == kitchen.slowStarted
                }
            }
        }

        /// Cancelling often is no attack.
        @Test func cancelStorm() async throws {
            struct Seen: Decodable {
                let closed: Bool
                let answers: [String]
            }
            try await observe("cancel_storm", as: Seen.self) { seen, kitchen in
                #expect(!seen.closed)
                #expect(seen.answers == [#"{"text":"a"}"#])
                try await until("all handlers are cancelled") {
                    kitchen.slowCancelled == kitchen.slowStarted
                }
            }
        }

        @Test func madeYouReset() async throws {
            try await observe("made_you_reset", as: Outcome.self) { outcome, kitchen in
                #expect(outcome.closed)
                #expect(outcome.goaways.last == 11)  // ENHANCE_YOUR_CALM
                #expect(outcome.resets <= 1100)
                #expect(kitchen.slowStarted == 0)
            }
        }

        @Test(arguments: [
            "ping_flood", "settings_flood", "empty_data", "continuation_flood", "window_overflow",
        ])
        func flood(_ scenario: String) async throws {
            try await observe(scenario, as: Outcome.self) { outcome, _ in
                #expect(outcome.closed)
                #expect(!outcome.goaways.isEmpty)
            }
        }
    }
}
