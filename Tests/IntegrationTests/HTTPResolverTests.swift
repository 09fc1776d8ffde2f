import Foundation
import Micro
import Testing

/// Against the web server of Python.
@Suite(.timeLimit(.minutes(2))) struct HTTPResolverTests {
    @Test func nodesOfAWebServer() async throws {
        try await withServer { server, url in
            var options = HTTPResolver.Options()
            options.interval = .milliseconds(50)
            let resolver = try HTTPResolver(url: url + "/network/nodes", options: options)
            try server.write(#"{"nodes": [{"id": "x", "address": "10.0.0.7:80"}]}"#, to: "greeter")
            let first = try await resolver.resolve("greeter")
            #expect(first.nodes.map(\.addresses) == [["tcp://10.0.0.7:80"]])
            #expect(first.age == .zero)
            let unknown = await failure { _ = try await resolver.resolve("nobody") }
            #expect(unknown?.code == .notFound)

            // The answer is asked for with its tag, and read again when it is another one.
            try await until("nothing is new") { server.log.contains("304") }
            try server.write(
                #"{"nodes": [{"address": "10.0.0.7:80"}, {"address": "tls://h:1", "weight": 7}]}"#,
                to: "greeter")
            try await until("there are two") {
                try await resolver.resolve("greeter").nodes.count == 2
            }
            // What is no answer changes nothing.
            try server.write(#"{"nodes": [{"address": 1}]}"#, to: "greeter")
            try await until("it is out of date") {
                try await resolver.resolve("greeter").age > .zero
            }
            #expect(try await resolver.resolve("greeter").nodes.count == 2)
            let error = await failure { try await resolver.refresh("greeter") }
            #expect(error == nil)  // the last ones stay
            await resolver.close()
        }
    }

    @Test func aServerThatIsNotThere() async throws {
        let (listener, address) = try silentPort()
        defer { close(listener) }
        var options = HTTPResolver.Options()
        options.timeout = .milliseconds(100)
        let resolver = try HTTPResolver(url: "http://\(address)/", options: options)
        let error = await failure { _ = try await resolver.resolve("greeter") }
        #expect(error?.code == .unavailable)
        #expect(error?.detail.contains("the web server \(address)") == true)
        await resolver.close()
    }

    // MARK: The server

    private struct WebServer: Sendable {
        let folder: TestFolder
        let program: Program
        var log: String { program.errors }

        func write(_ text: String, to service: String) throws {
            try folder.write(text, to: "next")
            guard rename("\(folder.path)/next", "\(folder.path)/\(service).json") == 0 else {
                throw TestFailure("rename")
            }
        }
    }

    private static let script = """
        import hashlib, http.server, sys, urllib.parse
        class Nodes(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def do_GET(self):
                url = urllib.parse.urlparse(self.path)
                name = urllib.parse.parse_qs(url.query).get("name", [""])[0]
                try: body = open(f"{sys.argv[1]}/{name}.json", "rb").read()
                except OSError: return self.send_error(404)
                if url.path != "/network/nodes": return self.send_error(400)
                tag = '"' + hashlib.sha1(body).hexdigest() + '"'
                known = self.headers["If-None-Match"] == tag
                self.send_response(304 if known else 200)
                self.send_header("ETag", tag)
                if not known: self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for at in range(0, 0 if known else len(body), 7):
                    piece = body[at:at + 7]
                    self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(piece), piece))
                if not known: self.wfile.write(b"0\\r\\n\\r\\n")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nodes)
        print("port", server.server_port, flush=True)
        server.serve_forever()
        """

    private func withServer(
        _ body: (WebServer, String) async throws -> Void
    ) async throws {
        let folder = try TestFolder()
        try folder.write(Self.script, to: "server.py")
        let program = try Program(
            "python3", ["-u", "\(folder.path)/server.py", folder.path], keeping: folder)
        let port = try await program.line(with: "port ").dropFirst("port ".count)
        try await body(WebServer(folder: folder, program: program), "http://127.0.0.1:\(port)")
        program.send(SIGTERM)
        _ = try await program.end()
    }

    /// Takes connections, and never answers.
    private func silentPort() throws -> (Int32, String) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, size) == 0 && listen(listener, 8) == 0
                    && getsockname(listener, $0, &size) == 0
            }
        }
        guard isBound else { throw TestFailure("listen") }
        return (listener, "127.0.0.1:\(UInt16(bigEndian: address.sin_port))")
    }
}
