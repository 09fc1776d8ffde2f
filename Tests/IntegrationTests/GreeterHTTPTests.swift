import Foundation
import Testing

extension EndToEnd {
    /// The quickstart's greeter as curl sees it.
    @Suite struct GreeterHTTPTests {
        private static let ada = #"{"name":"Ada"}"#
        private static let paths = [
            "greeter/Greeter.Hello", "greeter.Greeter/Hello", "Greeter/Hello",
        ]
        private static let hello = #"{"message":"Hello, Ada"}"#

        private func withGreeter(_ body: (String) async throws -> Void) async throws {
            let (greeter, address) = try await Machine().serve("greeter")
            try await body("http://\(address)")
            greeter.send(SIGTERM)
            let result = try await greeter.end()
            #expect(result.exit == .code(0), "\(result.errors)")
        }

        @Test func everyPathFormOnBothVersions() async throws {
            try await withGreeter { url in
                for (flag, version) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
                    for path in Self.paths {
                        let answer = try await curl(flag, "--json", Self.ada, "\(url)/\(path)")
                        #expect(answer.status == 200, "\(path) over \(version): \(answer.body)")
                        #expect(answer.version == version)
                        #expect(answer.body == Self.hello)
                        #expect(answer.headers["content-type"] == "application/json")
                    }
                }
            }
        }

        /// What is refused before its body has come is left to the peer in Python over HTTP/2: when
        /// the answer is faster than the body, curl 7 takes no notice of it.
        @Test func refusalsAreProblemsOnBothVersions() async throws {
            let endpoint = "greeter/Greeter.Hello"
            let cases: [(status: Int, arguments: [String], path: String, says: String)] = [
                (404, ["--json", Self.ada], "greeter/Greeter.Bye", "greeter/Greeter.Bye"),
                (404, [], "", "nothing handles /"),
                (405, [], endpoint, "POST"),
                (405, ["-X", "PUT", "--json", Self.ada], endpoint, "POST"),
                (405, ["-X", "DELETE"], endpoint, "POST"),
                (415, ["-d", Self.ada], endpoint, "application/json"),
                (
                    415, ["-d", Self.ada, "-H", "Content-Type: application/xml"], endpoint,
                    "application/json"
                ),
                (
                    406, ["--json", Self.ada, "-H", "Accept: image/png"], endpoint,
                    "application/json"
                ),
                (400, ["--json", "{"], endpoint, ""),
                (400, ["--json", #"{"nam":"Ada"}"#], endpoint, "name"),
                (400, ["--json", #"{"name":7}"#], endpoint, "name"),
                (400, ["--json", #"{"name":""}"#], endpoint, "whom to greet is missing"),
            ]
            try await withGreeter { url in
                for flag in ["--http1.1", "--http2-prior-knowledge"] {
                    for (status, arguments, path, says) in cases {
                        let isEarly = status == 404 || status == 405
                        guard flag == "--http1.1" || !isEarly || !arguments.contains("--json")
                        else { continue }
                        let answer = try await curl([flag] + arguments + ["\(url)/\(path)"])
                        let about: Comment = "\(flag) \(arguments): \(answer.heads)\(answer.body)"
                        #expect(answer.status == status, about)
                        #expect(
                            answer.headers["content-type"] == "application/problem+json", about)
                        let problem = try answer.json
                        #expect(problem["status"] as? Int == status, about)
                        #expect((problem["title"] as? String)?.isEmpty == false, about)
                        let detail = try #require(problem["detail"] as? String, about)
                        #expect(says.isEmpty || detail.contains(says), about)
                        if status == 405 { #expect(answer.headers["allow"] == "POST", about) }
                    }
                }
            }
        }

        /// The handler's own error, field by field.
        @Test func theHandlersErrorComesWhole() async throws {
            try await withGreeter { url in
                let answer = try await curl(
                    "--json", #"{"name":""}"#, "\(url)/greeter/Greeter.Hello")
                let problem = try answer.json
                #expect(problem["id"] as? String == "greeter.hello")
                #expect(problem["code"] as? String == "INVALID_ARGUMENT")
                #expect((problem["metadata"] as? [String: String])?["field"] == "name")
            }
        }

        @Test func anAcceptHeaderIsHeard() async throws {
            try await withGreeter { url in
                for accept in ["*/*", "application/*", "text/html, application/json;q=0.1"] {
                    let answer = try await curl(
                        "--json", Self.ada, "-H", "Accept: \(accept)", "\(url)/Greeter/Hello")
                    #expect(answer.status == 200, "\(accept)")
                    #expect(answer.headers["content-type"] == "application/json", "\(accept)")
                }
            }
        }

        /// The same head as for GET, and no body.
        @Test func headHasNoBody() async throws {
            try await withGreeter { url in
                for flag in ["--http1.1", "--http2-prior-knowledge"] {
                    let get = try await curl(flag, "\(url)/greeter/Greeter.Hello")
                    let head = try await curl(flag, "--head", "\(url)/greeter/Greeter.Hello")
                    #expect(head.status == 405)
                    #expect(head.body == head.heads)  // curl prints the head in its place
                    #expect(head.headers["content-length"] == get.headers["content-length"])
                    #expect(head.headers["content-length"] == "\(get.body.utf8.count)")
                }
            }
        }

        /// Over HTTP/1.1: with `--http2-prior-knowledge`, curl 7.88 can't use a connection twice.
        @Test func aConnectionIsKept() async throws {
            try await withGreeter { url in
                // Refusals too leave it open.
                for (body, path, status) in [
                    (Self.ada, "greeter/Greeter.Hello", 200), ("{", "greeter/Greeter.Hello", 400),
                    (Self.ada, "greeter/Greeter.Bye", 404),
                ] {
                    let target = "\(url)/\(path)"
                    let answer = try await curl(
                        "--http1.1", "--json", body, "-o", "/dev/null", "-o", "/dev/null", target,
                        target, target)
                    #expect(answer.status == status)
                    #expect(answer.connects == 0, "\(path): \(answer.heads)")
                }
            }
        }

        @Test func aChunkedBody() async throws {
            try await withGreeter { url in
                let name = String(repeating: "n", count: 200_000)
                let folder = try TestFolder()
                try folder.write(#"{"name":"\#(name)"}"#, to: "body")
                let answer = try await curl(
                    "--http1.1", "--json", "@\(folder.path)/body", "-H",
                    "Transfer-Encoding: chunked", "\(url)/greeter/Greeter.Hello")
                #expect(answer.status == 200)
                #expect(answer.body == #"{"message":"Hello, \#(name)"}"#)
            }
        }

        @Test func aLargeBodyWaitsForItsContinue() async throws {
            try await withGreeter { url in
                let name = String(repeating: "n", count: 3 << 20)
                let folder = try TestFolder()
                try folder.write(#"{"name":"\#(name)"}"#, to: "body")
                func send(_ path: String) async throws -> CurlAnswer {
                    // Without an answer curl would wait for it as long as the whole request may
                    // take.
                    try await curl(
                        "--http1.1", "--expect100-timeout", "120", "-H", "Expect: 100-continue",
                        "--json", "@\(folder.path)/body", "\(url)/\(path)")
                }
                let answer = try await send("greeter/Greeter.Hello")
                #expect(answer.status == 200)
                #expect(answer.body == #"{"message":"Hello, \#(name)"}"#)
                #expect(answer.heads.hasPrefix("HTTP/1.1 100 Continue\r\n"))
                // What will be refused is not asked for.
                let refused = try await send("greeter/Greeter.Bye")
                #expect(refused.status == 404)
                #expect(!refused.heads.contains(" 100 "))
            }
        }

        @Test func aBodyBeyondTheLimitIsRefused() async throws {
            try await withGreeter { url in
                let folder = try TestFolder()
                try folder.write(String(repeating: " ", count: 4 << 20) + "{}", to: "body")
                let expectations = [[], ["-H", "Expect:"], ["-H", "Transfer-Encoding: chunked"]]
                for more in expectations {
                    let answer = try await curl(
                        ["--http1.1", "--json", "@\(folder.path)/body"] + more
                            + ["\(url)/greeter/Greeter.Hello"])
                    #expect(answer.status == 413, "\(more): \(answer.heads)")
                    #expect(try answer.json["status"] as? Int == 413)
                }
                let next = try await curl("--json", Self.ada, "\(url)/greeter/Greeter.Hello")
                #expect(next.body == Self.hello)
            }
        }

        @Test func headersBeyondTheLimitAreRefused() async throws {
            try await withGreeter { url in
                let fat = (0..<50).flatMap {
                    ["-H", "x-\($0): \(String(repeating: "v", count: 400))"]
                }
                let many = (0..<150).flatMap { ["-H", "x-\($0): v"] }
                for flag in ["--http1.1", "--http2-prior-knowledge"] {
                    for headers in [fat, many] {
                        let answer = try await curl(
                            [flag, "-X", "POST"] + headers + ["\(url)/greeter/Greeter.Hello"])
                        #expect(answer.status == 431, "\(flag): \(answer.heads)")
                    }
                }
                let path = String(repeating: "p", count: 9000)
                let answer = try await curl("--http1.1", "--json", Self.ada, "\(url)/\(path)")
                #expect(answer.status == 414)
            }
        }

        /// h2load: 8 connections with 32 calls each.
        @Test func underLoadEveryCallIsAnswered() async throws {
            try await withGreeter { url in
                let folder = try TestFolder()
                try folder.write(Self.ada, to: "body")
                let result = try await Program.run(
                    "h2load",
                    [
                        "-n", "20000", "-c", "8", "-m", "32", "-d", "\(folder.path)/body", "-H",
                        "content-type: application/json", "\(url)/greeter/Greeter.Hello",
                    ])
                #expect(result.exit == .code(0))
                #expect(result.output.contains("20000 succeeded, 0 failed, 0 errored, 0 timeout"))
                #expect(result.output.contains("status codes: 20000 2xx, 0 3xx, 0 4xx, 0 5xx"))
            }
        }
    }
}
