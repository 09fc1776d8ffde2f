import Testing

@testable import Micro

@Suite struct MicroErrorJSONTests {
    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    private func parse(_ json: String, status: Int? = nil) -> MicroError? {
        MicroError(json: Array(json.utf8).span.bytes, status: status)
    }

    @Test func theFormOfTheOriginal() {
        #expect(
            text(MicroError.notFound("orders", "it's \"gone\"\n").json)
                == #"{"id":"orders","detail":"it's \"gone\"\n","status":"Not Found","code":404}"#
        )
        #expect(
            text(
                MicroError.failedPrecondition(
                    "a", "b", reason: "R", metadata: ["y": "2", "x": "1"]
                ).json)
                == #"{"id":"a","detail":"b","status":"Bad Request","code":400,"#
                + #""name":"FAILED_PRECONDITION","reason":"R","metadata":{"x":"1","y":"2"}}"#)
    }

    @Test func theFormOfRFC9457() {
        #expect(
            text(
                MicroError.notFound("orders.get", "no order 7", reason: "R", metadata: ["a": "1"])
                    .problemJSON)
                == #"{"type":"about:blank","title":"Not Found","status":404,"detail":"no order 7","#
                + #""id":"orders.get","code":"NOT_FOUND","reason":"R","metadata":{"a":"1"}}"#)
        #expect(
            text(MicroError.notFound("i", "d").problemJSON)
                == #"{"type":"about:blank","title":"Not Found","status":404,"detail":"d","id":"i","#
                + #""code":"NOT_FOUND"}"#)
    }

    /// D-08.
    @Test func tenThousandErrorsArriveWhole() throws {
        var random = SeededRandom(seed: 12)
        for _ in 0..<10_000 {
            let error = random.error()
            for bytes in [error.json, error.problemJSON] {
                try #require(JSONSyntax.firstFault(in: bytes, maximumDepth: 2) == nil)
                try #require(MicroError(json: bytes.span.bytes) == error)
            }
        }
    }

    @Test func writesControlCharactersAsEscapes() {
        let all =
            String(String.UnicodeScalarView((0...0x20).map { Unicode.Scalar(UInt8($0)) }))
            + "\u{7F}"
        let bytes = MicroError("", .internal, all).json
        #expect(bytes.allSatisfy { $0 >= 0x20 })
        #expect(MicroError(json: bytes.span.bytes)?.detail == all)
    }

    @Test func readsProblemsOfOthers() {
        #expect(
            parse(
                #"{"type":"https://x/out-of-credit","title":"Out of credit","status":403,"#
                    + #""instance":"/account/1","balance":30,"accounts":["/a"],"extra":{"deep":[1]}}"#
            )
                == .permissionDenied("/account/1", "Out of credit"))
        #expect(parse(#"{"title":"Nope"}"#, status: 404) == .notFound("", "Nope"))
        #expect(parse(#"{"detail":"Nope"}"#) == MicroError("", .unknown, "Nope"))
        #expect(
            parse(#"{"id":"a","detail":"b","status":"Timeout","code":408}"#) == .timeout("a", "b"))
    }

    @Test func fieldsOfWrongTypesCountAsMissing() {
        let error = parse(
            #"{"id":1,"detail":"d","status":{},"code":[],"reason":null,"retryable":"x","#
                + #""metadata":{"a":1,"b":true,"c":[],"d":"e","f":1.5}}"#,
            status: 409)
        #expect(
            error == MicroError("", .conflict, "d", metadata: ["a": "1", "b": "true", "d": "e"]))
        #expect(parse(#"{"detail":"d","code":"BOGUS","status":500}"#)?.code == .internal)
        #expect(parse(#"{"detail":"d","metadata":[]}"#)?.metadata == [:])
        #expect(parse(#"{"detail":"d","code":99999999999999999999}"#)?.code == .unknown)
    }

    @Test(arguments: [
        "", "{}", "[]", "null", "5", "\"text\"", "<html>", #"{"name":"x"}"#, "{",
        #"{"detail":"a"} x"#,
    ])
    func whatIsNoErrorIsNil(json: String) {
        #expect(parse(json, status: 500) == nil)
    }

    @Test func damagedBytesNeverTrap() {
        var random = SeededRandom(seed: 13)
        for _ in 0..<200 {
            let bytes = random.error().problemJSON
            for _ in 0..<20 {
                var damaged = bytes
                if let index = damaged.indices.randomElement(using: &random) {
                    damaged[index] = .random(in: 0...255, using: &random)
                }
                _ = MicroError(json: damaged.span.bytes)
                if let end = bytes.indices.randomElement(using: &random) {
                    #expect(MicroError(json: Array(bytes[..<end]).span.bytes) == nil)
                }
            }
        }
    }
}
