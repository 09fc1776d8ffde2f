import Foundation
import Micro
import Testing

extension EndToEnd {
    /// Streams as curl sees them, over both versions of HTTP.
    @Suite struct StreamHTTPTests {
        private static let versions = ["--http1.1", "--http2-prior-knowledge"]

        private func withNumbers(_ body: (String) async throws -> Void) async throws {
            try await Kitchen.open { kitchen in
                try await body("http://\(kitchen.address)/kitchen")
            }
        }

        @Test(arguments: versions)
        func repliesAreLinesOfJSON(version: String) async throws {
            try await withNumbers { url in
                let answer = try await curl(version, "--json", "3", "\(url)/Kitchen.Count")
                #expect(answer.status == 200)
                #expect(answer.headers["content-type"] == "application/x-ndjson")
                #expect(
                    answer.body
                        == #"{"text":"0"}"# + "\n" + #"{"text":"1"}"# + "\n" + #"{"text":"2"}"#
                        + "\n")
                let none = try await curl(version, "--json", "0", "\(url)/Kitchen.Count")
                #expect(none.status == 200)
                #expect(none.body == "")
            }
        }

        @Test(arguments: versions)
        func repliesAreEventsForWhoeverAsksForThem(version: String) async throws {
            try await withNumbers { url in
                let answer = try await curl(
                    version, "-H", "Content-Type: application/json", "-d", "2", "-H",
                    "Accept: text/event-stream", "\(url)/Kitchen.Count")
                #expect(answer.status == 200)
                #expect(answer.headers["content-type"] == "text/event-stream")
                #expect(
                    answer.body
                        == "data: " + #"{"text":"0"}"# + "\n\n" + "data: " + #"{"text":"1"}"#
                        + "\n\n")
            }
        }

        @Test(arguments: versions)
        func eachLineOfTheBodyIsAMessage(version: String) async throws {
            try await withNumbers { url in
                for type in ["application/json", "application/x-ndjson"] {
                    let answer = try await curl(
                        version, "-H", "Content-Type: \(type)", "--data-binary", "1\n2\n\n39",
                        "\(url)/Kitchen.Sum")
                    #expect(answer.status == 200, "\(answer.body)")
                    #expect(answer.headers["content-type"] == "application/json")
                    #expect(answer.body == "42")
                }
                let wrong = try await curl(
                    version, "-H", "Content-Type: application/json", "--data-binary", "1\n{\n",
                    "\(url)/Kitchen.Sum")
                #expect(wrong.status == 400)
                #expect(wrong.headers["content-type"] == "application/problem+json")
            }
        }

        @Test(arguments: versions)
        func anErrorBeforeTheFirstReplyHasAStatus(version: String) async throws {
            try await withNumbers { url in
                let answer = try await curl(version, "--json", "-1", "\(url)/Kitchen.Count")
                #expect(answer.status == 400)
                #expect(answer.headers["content-type"] == "application/problem+json")
                #expect(answer.body.contains("less than nothing"))
            }
        }

        /// The caller must not take what it has for everything.
        @Test(arguments: versions)
        func anErrorInMidStreamCutsItOff(version: String) async throws {
            try await withNumbers { url in
                let result = try await Program.run(
                    "curl",
                    [
                        "-sS", "--noproxy", "*", "--max-time", "60", version, "--json", "1000",
                        "\(url)/Kitchen.Count",
                    ])
                #expect(result.exit != .code(0))
                // Of a stream that is reset curl drops what it has not handed on yet.
                if version == "--http1.1" {
                    #expect(result.output.hasPrefix(#"{"text":"0"}"# + "\n"))
                }
                let events = try await curl(
                    version, "-H", "Content-Type: application/json", "-d", "1000", "-H",
                    "Accept: text/event-stream", "\(url)/Kitchen.Count")
                #expect(events.body.contains("event: error\n"))
                #expect(events.body.contains("that is enough"))
            }
        }

        @Test(arguments: versions)
        func whatCannotBeSentIsRefused(version: String) async throws {
            try await withNumbers { url in
                let answer = try await curl(
                    version, "--json", "3", "-H", "Accept: image/png", "\(url)/Kitchen.Count")
                #expect(answer.status == 406)
            }
        }
    }
}
