import Foundation
import Micro
import MicroZstd
import Testing

extension EndToEnd {
    /// Content codings as programs see them that we did not write: curl, zlib of Python, zstd.
    @Suite struct CodingTests {
        private static let versions = ["--http1.1", "--http2-prior-knowledge"]

        /// How a shell compresses what it is given.
        private static let packers = [
            "gzip": "gzip -c",
            "deflate": """
            python3 -c 'import sys, zlib
            sys.stdout.buffer.write(zlib.compress(sys.stdin.buffer.read()))'
            """,
            "zstd": "zstd -qc",
        ]

        private static let unpackers = [
            "gzip": "gzip -dc",
            "deflate": """
            python3 -c 'import sys, zlib
            sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read()))'
            """,
            "zstd": "zstd -qdc",
        ]

        private static let codings = ["gzip", "deflate", "zstd"]

        private func withKitchen(
            _ compression: Compression = .gzip(from: 0), _ body: (String) async throws -> Void
        ) async throws {
            Zstd.register()
            try await Kitchen.open {
                $0.server.compression = compression
            } _: { kitchen in
                try await body("http://\(kitchen.address)/kitchen")
            }
        }

        private func shell(_ script: String) async throws -> String {
            let result = try await Program.run("sh", ["-c", script])
            #expect(result.exit == .code(0), "\(script): \(result.errors)")
            return result.output
        }

        /// Sends what `make` prints in a coding, and returns what curl prints.
        private func post(
            _ make: String, in coding: String, _ arguments: String, to url: String
        ) async throws -> String {
            try await shell(
                """
                \(make) | \(Self.packers[coding] ?? "cat") |
                curl -sS --noproxy '*' --max-time 60 -H 'Content-Encoding: \(coding)' \
                -H 'Content-Type: application/json' --data-binary @- \(arguments) \(url)
                """)
        }

        // MARK: Answers

        @Test(arguments: codings)
        func answersComeInWhatTheCallerAccepts(coding: String) async throws {
            try await withKitchen { url in
                let item = #"{"text":"\#(String(repeating: "long ", count: 1000))"}"#
                for version in Self.versions {
                    let (heads, body) = (try TestFolder(), "heads")
                    let output = try await shell(
                        """
                        curl -sS --noproxy '*' --max-time 60 \(version) -D \(heads.path)/\(body) \
                        -H 'Accept-Encoding: br, \(coding)' --json '\(item)' \(url)/Kitchen.Echo |
                        \(Self.unpackers[coding] ?? "cat")
                        """)
                    #expect(output == item)
                    let head = try heads.text(of: body).lowercased()
                    #expect(head.contains("content-encoding: \(coding)\r\n"), "\(head)")
                    #expect(head.contains("vary: accept-encoding\r\n"), "\(head)")
                }
            }
        }

        @Test func theBestWins() async throws {
            let cases: [(accept: String, coding: String?)] = [
                ("gzip, deflate, zstd", "deflate"), ("gzip;q=1.0, deflate;q=0.9", "gzip"),
                ("gzip;q=0, zstd;q=0.1", "zstd"), ("*", "deflate"), ("br", nil),
                ("identity, gzip;q=0.5", nil),
            ]
            try await withKitchen(.deflate(from: 0)) { url in
                for (accept, coding) in cases {
                    let answer = try await curl(
                        "-H", "Accept-Encoding: \(accept)", "--json", #"{"text":"a"}"#,
                        "\(url)/Kitchen.Echo")
                    #expect(answer.headers["content-encoding"] == coding, "\(accept)")
                }
            }
        }

        @Test(arguments: versions)
        func curlReadsStreamsThatAreCompressed(version: String) async throws {
            try await withKitchen { url in
                for coding in ["gzip", "deflate"] {
                    let answer = try await curl(
                        version, "--compressed", "-H", "Accept-Encoding: \(coding)", "--json",
                        "100", "\(url)/Kitchen.Count")
                    #expect(answer.headers["content-encoding"] == coding)
                    let lines = answer.body.split(separator: "\n")
                    #expect(lines.count == 100)
                    #expect(lines.last == #"{"text":"99"}"#)
                }
                let events = try await shell(
                    """
                    curl -sS --noproxy '*' --max-time 60 \(version) -H 'Accept-Encoding: zstd' \
                    -H 'Accept: text/event-stream' -H 'Content-Type: application/json' -d 2 \
                    \(url)/Kitchen.Count | zstd -qdc
                    """)
                let expected = [0, 1].map { #"data: {"text":"\#($0)"}"# + "\n\n" }
                #expect(events == expected.joined())
            }
        }

        /// What breaks off is no whole body in any coding.
        @Test func aStreamThatFailsIsNotWhole() async throws {
            try await withKitchen { url in
                let result = try await Program.run(
                    "curl",
                    ["-sS", "--noproxy", "*", "--max-time", "60", "--compressed", "--json", "600"]
                        + ["\(url)/Kitchen.Count"])
                #expect(result.exit != .code(0))
                #expect(result.output.contains(#"{"text":"499"}"#))
            }
        }

        // MARK: Requests

        @Test(arguments: codings, versions)
        func requestsAreRead(coding: String, version: String) async throws {
            try await withKitchen(.off) { url in
                let echo = try await post(
                    #"printf '{"text":"a"}'"#, in: coding, version, to: "\(url)/Kitchen.Echo")
                #expect(echo == #"{"text":"a"}"#)
                let sum = try await post(
                    "seq 1 100000", in: coding, version, to: "\(url)/Kitchen.Sum")
                #expect(sum == "5000050000")
            }
        }

        @Test(arguments: codings, ["Kitchen.Echo", "Kitchen.Sum"])
        func bombsAndDamageAreRefused(coding: String, endpoint: String) async throws {
            try await withKitchen { url in
                let status = "-o /dev/null -w '%{http_code}'"
                let bomb = try await post(
                    "head -c 20000000 /dev/zero", in: coding, status, to: "\(url)/\(endpoint)")
                #expect(bomb == "413")
                let pack = Self.packers[coding] ?? "cat"
                for damage in ["head -c 20", "cat - /etc/hostname"] {
                    let answer = try await shell(
                        """
                        seq 1 9 | \(pack) | \(damage) | curl -sS --noproxy '*' --max-time 60 \
                        -H 'Content-Encoding: \(coding)' -H 'Content-Type: application/json' \
                        --data-binary @- \(status) \(url)/\(endpoint)
                        """)
                    #expect(answer == "400", "\(damage)")
                }
            }
        }

        @Test func whatNobodyKnowsIsRefusedWithWhatIsKnown() async throws {
            try await withKitchen { url in
                for endpoint in ["Kitchen.Echo", "Kitchen.Sum"] {
                    for coding in ["br", "gzip, gzip"] {
                        let answer = try await curl(
                            "-H", "Content-Encoding: \(coding)", "--json", "1",
                            "\(url)/\(endpoint)")
                        #expect(answer.status == 415)
                        #expect(answer.headers["accept-encoding"] == "gzip, deflate, zstd")
                        #expect(answer.headers["content-type"] == "application/problem+json")
                    }
                }
            }
        }

        // MARK: gRPC

        /// grpcio compresses its calls, and says with what.
        @Test func grpcioCompressesBothWays() async throws {
            struct Seen: Decodable {
                let coding, text: String
                let replyCoding: String?
            }
            for (compression, coding) in [
                (Compression.deflate(from: 0), "deflate"), (.gzip(from: 0), "gzip"),
            ] {
                try await Kitchen.open {
                    $0.server.compression = compression
                } _: { kitchen in
                    let seen = try await Peer.observe(
                        "grpc_client.py", kitchen.address, "codings", as: [Seen].self)
                    #expect(seen.map(\.coding) == ["gzip", "deflate"])
                    for call in seen {
                        #expect(call.text == String(repeating: "crème", count: 1000))
                        #expect(call.replyCoding == coding)
                    }
                }
            }
        }

        @Test func grpcioReadsWhatWeCompress() async throws {
            let peer = try Peer.start("grpc_server.py")
            let port = try await peer.line(with: "port ").dropFirst("port ".count)
            let client = Client(resolver: StaticResolver(addresses: [:]))
            let item = Kitchen.Item(text: String(repeating: "crème", count: 1000), number: 7)
            func options(_ compression: Compression) -> CallOptions {
                var options = CallOptions(
                    timeout: .seconds(30), address: "tcp://127.0.0.1:\(port)")
                options.compression = compression
                return options
            }
            for compression in [Compression.gzip(), .deflate()] {
                let reply = try await client.call(
                    "peer", "peer.Peer/Echo", item, as: Kitchen.Item.self,
                    options: options(compression))
                #expect(reply == item)
            }
            let error = await failure {
                _ = try await client.call(
                    "peer", "peer.Peer/Echo", item, as: Kitchen.Item.self, options: options(.zstd())
                )
            }
            // grpcio's own word for it; ours is `unimplemented`, as gRPC's text says.
            #expect(error?.code == .internal)
            await client.close()
            peer.closeInput()
            #expect(try await peer.end().exit == .code(0))
        }
    }
}
