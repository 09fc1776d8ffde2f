import Testing

@testable import Micro

@Suite struct ContentTypeTests {
    @Test(arguments: [
        ("application/json", "application/json"),
        ("Application/JSON", "application/json"),
        (" text/plain ; Charset=UTF-8 ", "text/plain; charset=UTF-8"),
        ("text/plain;charset=\"utf-8\"", "text/plain; charset=utf-8"),
        ("a/b;;; x=1 ;", "a/b; x=1"),
        ("a/b; x=\"a\\\"b; c\"", "a/b; x=\"a\\\"b; c\""),
        ("a/b; x=\"\"", "a/b; x=\"\""),
        ("application/vnd.x+json;v=2", "application/vnd.x+json; v=2"),
        ("!#$%&'+-.^_`|~/x", "!#$%&'+-.^_`|~/x"),
        ("a/b; q=1", "a/b; q=1"),
    ]) func parses(text: String, formatted: String) throws {
        let type = try #require(ContentType(text))
        #expect(type.description == formatted)
        #expect(ContentType(formatted) == type, "what is formatted parses to the same")
    }

    @Test(arguments: [
        "", " ", "json", "/", "a/", "/b", "a/b/c", "a /b", "a/ b", "a/b c", "a/b; x", "a/b; x=",
        "a/b; =1", "a/b; x = 1", "a/b; x=\"1", "a/b; x=\"\\", "a/b; x=1 2", "a/b, c/d", "*/*",
        "a/*",
        "a/b\n", "a/b\r\nx: y", "a/b\0", "é/b", "a/b; x=\"\n\"", "a/b; x=é", "a(b)/c",
        "a/b; x=" + String(repeating: "y", count: 1024),
    ]) func refuses(text: String) {
        #expect(ContentType(text) == nil)
    }

    @Test func parts() throws {
        let type = try #require(ContentType("application/vnd.a+b+JSON; Charset=x; charset=y"))
        #expect(type.essence == "application/vnd.a+b+json")
        #expect(type.suffix == "json")
        #expect(type[parameter: "CHARSET"] == "x")
        #expect(type[parameter: "v"] == nil)
        #expect(ContentType.json.suffix == nil)
        #expect(ContentType("a/b+")?.suffix == "")
    }

    @Test func neverTrapsAndRoundTrips() {
        var random = SeededRandom(seed: 3)
        let alphabet = Array("a/b;= \"\\q,*+\t01.é\u{1F600}")
        var parsed = 0
        for _ in 0..<50_000 {
            let count = Int.random(in: 0...14, using: &random)
            let text = String(
                (0..<count).compactMap { _ in alphabet.randomElement(using: &random) })
            _ = AcceptHeader(text)
            guard let type = ContentType(text) else { continue }
            parsed += 1
            #expect(ContentType(type.description) == type, "\(text)")
        }
        #expect(parsed > 20)
        for _ in 0..<5000 {
            let text = random.text(upTo: 40)
            _ = ContentType(text)
            _ = AcceptHeader(text)
        }
    }
}

@Suite struct AcceptHeaderTests {
    @Test(arguments: [
        ("*/*", 1000, 1000), ("application/json", 1000, 0), ("application/*;q=0.5", 500, 0),
        ("text/*, */*;q=0.1", 100, 1000), ("text/plain;q=0, */*", 1000, 0),
        ("application/json;q=0.25, text/plain;q=0.125", 250, 125),
        ("application/json; q=0.5; ext=1", 500, 0), ("application/vnd.x+json", 1000, 0),
        ("text/plain; charset=utf-8", 0, 1000), ("text/plain; charset=utf-16", 0, 0),
        ("APPLICATION/JSON;Q=1.000", 1000, 0), (", ,application/json,,", 1000, 0),
        ("image/png", 0, 0), ("*/*;q=0", 0, 0), ("*/*;q=0.001, application/json;q=0", 0, 1),
        ("application/json;version=\"1,2\";q=0.3", 300, 0),
    ]) func weights(text: String, json: Int, plain: Int) throws {
        let header = try #require(AcceptHeader(text))
        #expect(header.weight(of: .json) == json)
        #expect(header.weight(of: .text) == plain)
    }

    @Test(arguments: [
        "json", "*/json", "a/b;q=2", "a/b;q=1.001", "a/b;q=0.1234", "a/b;q=", "a/b;q=x", "a/b;q=-1",
        "a/b;q=.5", "a/b;q=00", "a/b c/d", "a/b;q=\"0.5", "a/b;;q=1 x", "a/b\n",
        String(repeating: "a/b,", count: 65), String(repeating: ",", count: 4097),
    ]) func refuses(text: String) {
        #expect(AcceptHeader(text) == nil)
    }

    @Test func emptyAllowsNothingInParticular() {
        #expect(AcceptHeader("")?.ranges == [])
        #expect(AcceptHeader(" , ")?.ranges == [])
        #expect(AcceptHeader(String(repeating: "a/b,", count: 64))?.ranges.count == 64)
    }
}
