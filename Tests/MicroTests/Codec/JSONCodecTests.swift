import Testing

@testable import Micro

private indirect enum Nest: Codable, Sendable { case leaf, next(Nest) }

@Suite struct JSONCodecTests {
    private struct Everything: Codable, Sendable, Equatable {
        var text: String
        var whole: Int64
        var large: UInt64
        var real: Double
        var truth: Bool
        var none: Int?
        var list: [String]
        var object: [String: Int]
    }

    private let codec = JSONCodec()

    private func decode<T: Decodable>(_ json: String, as type: T.Type = T.self) throws -> T {
        try codec.decode(type, from: Array(json.utf8).span.bytes)
    }

    @Test func roundTripsRandomValues() throws {
        var random = SeededRandom(seed: 1)
        for _ in 0..<2000 {
            let value = Everything(
                text: random.text(), whole: Int64(bitPattern: random.next()), large: random.next(),
                real: Double(bitPattern: random.next() & ~(1 << 62)),
                truth: .random(using: &random),
                none: nil, list: [random.text(), random.text()], object: [random.text(): 1])
            #expect(try decode(String(decoding: codec.encode(value), as: UTF8.self)) == value)
        }
    }

    @Test func numbersAreExact() throws {
        #expect(
            try decode("[9007199254740993,9223372036854775807,-9223372036854775808]") == [
                9_007_199_254_740_993, Int64.max, Int64.min,
            ])
        #expect(try decode("[18446744073709551615]") == [UInt64.max])
    }

    @Test func outputIsSortedAndPlain() throws {
        let bytes = try codec.encode(["b/c": "x/y", "a": "é\n"])
        #expect(String(decoding: bytes, as: UTF8.self) == #"{"a":"é\n","b/c":"x/y"}"#)
    }

    @Test func emptyMessage() throws {
        _ = try decode("", as: Empty.self)
        _ = try decode("{}", as: Empty.self)
        _ = try decode(#" {"unknown":[1]} "#, as: Empty.self)
        #expect(try codec.encode(Empty()) == Array("{}".utf8))
        for json in ["5", "null", "[]", "\"\"", "x"] {
            #expect(throws: MicroError.self, "\(json)") { try decode(json, as: Empty.self) }
        }
    }

    @Test func emptyBodySaysSo() throws {
        let error = try #require(throws: MicroError.self) { try decode("", as: [String: Int].self) }
        #expect(error.code == .invalidArgument)
        #expect(error.detail.contains("empty"))
    }

    @Test(arguments: [
        ("{\n \"a\": tru}", "line 2, column 7"), ("[1,\n\n2", "line 3, column 2"),
        ("{} x", "line 1, column 4"),
    ]) func syntaxErrorsSayWhere(json: String, place: String) throws {
        let error = try #require(throws: MicroError.self) {
            try decode(json, as: [String: Bool].self)
        }
        #expect(error.code == .invalidArgument)
        #expect(error.detail.contains(place), "\(error.detail)")
    }

    @Test(arguments: ["1.5", "99999999999999999999", "-9223372036854775809"])
    func numbersThatDoNotFit(number: String) throws {
        let error = try #require(throws: MicroError.self) {
            try decode(#"{"a":\#(number)}"#, as: [String: Int].self)
        }
        #expect(error.code == .invalidArgument)
        #expect(error.detail.contains("number") && error.detail.contains("fit"), "\(error.detail)")
    }

    @Test func errorsNeverPrintThePayload() throws {
        let secret = String(repeating: "s3cret", count: 1000)
        for json in ["{\"a\":\"\(secret)\"}", "[\"\(secret)", "\(secret)"] {
            let error = try #require(throws: MicroError.self) {
                try decode(json, as: [String: Int].self)
            }
            #expect(!error.debugDescription.contains("s3cret"))
        }
    }

    @Test func depthIsBounded() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: #"{"next":{"_0":"#, count: depth / 2) + #"{"leaf":{}}"#
                + String(repeating: "}}", count: depth / 2)
        }
        _ = try decode(nested(62), as: Nest.self)
        let error = try #require(throws: MicroError.self) { try decode(nested(64), as: Nest.self) }
        #expect(error.detail.contains("64"))
        let deep = JSONCodec(maximumDepth: .max)
        let bytes = Array((String(repeating: "[", count: 100_000)).utf8)
        #expect(throws: MicroError.self) { try deep.decode([Int].self, from: bytes.span.bytes) }
    }

    @Test func carriesCodableTypes() {
        struct Reply: Encodable {}
        struct Plain {}
        #expect(codec.canCarry(Everything.self) && codec.canCarry([UInt8].self))
        #expect(codec.canCarry(Reply.self))
        #expect(!codec.canCarry(Plain.self))
    }

    @Test func isSharedByThreads() async throws {
        let codec = codec
        try await withThrowingTaskGroup { group in
            for worker in 0..<8 {
                group.addTask {
                    for number in 0..<200 {
                        let value = ["k": [worker, number]]
                        let bytes = try codec.encode(value)
                        #expect(
                            try codec.decode([String: [Int]].self, from: bytes.span.bytes) == value)
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}

@Suite struct JSONSyntaxTests {
    private func fault(_ bytes: [UInt8]) -> JSONSyntax.Fault? {
        JSONSyntax.firstFault(in: bytes, maximumDepth: 64)
    }

    @Test(arguments: [
        "0", "-0", "1", "-1.5e+10", "1E5", "0.0", "1e-2", "true", "false", "null", "\"\"", "[]",
        "{}",
        " [ 1 , 2 ] ", "\t{\r\n\"a\" : [ ] , \"b\":{}}\n", #""\"\\\/\b\f\n\r\t\u00e9""#,
        #""\ud83d\ude00""#, "\"é日😀\u{7F}\u{10FFFF}\"", #"{"a":1,"a":2}"#, #"{"":0}"#, #""\u0000""#,
        String(repeating: "[", count: 64) + String(repeating: "]", count: 64),
        "123456789012345678901234567890", "[[],[[]],{}]",
    ]) func accepts(json: String) {
        #expect(fault(Array(json.utf8)) == nil)
    }

    @Test(arguments: [
        "", " ", "01", "-", "+1", "1.", ".5", "1e", "1e+", "1.e1", "0x1", "NaN", "Infinity",
        "-Infinity",
        "tru", "True", "nul", "nulll", "[", "]", "{", "}", "[1,]", "[,1]", "[1 2]", "[1,,2]", "{,}",
        #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{"a" 1}"#, "{a:1}", "{'a':1}", "{1:1}",
        #"{"a":1 "b":2}"#,
        "[}", "{]", "[1}", #"{"a":1]"#, "1 2", "[] []", "\"", "\"\\", "\"\\x\"", "\"\\u12\"",
        "\"\\u12g4\"",
        "\"a\nb\"", "\"\t\"", "\"\0\"", "\u{FEFF}1", #""\ud800""#, #""\udc00""#, #""\ud800\ud800""#,
        #""\ud800x""#, #""\ud800\n""#, "/*c*/1", "1//c", "\u{A0}1", "\u{B}1", "\"\\u٠٠٠٠\"",
        String(repeating: "[", count: 65) + String(repeating: "]", count: 65), "\0", "1\0",
    ]) func refuses(json: String) {
        #expect(fault(Array(json.utf8)) != nil)
    }

    @Test(
        arguments: [
            [0xFF], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x9F, 0xBF], [0xED, 0xA0, 0x80],
            [0xF0, 0x8F, 0xBF, 0xBF],
            [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0x80], [0xC2], [0xE2, 0x82],
            [0xF0, 0x9F, 0x98],
            [0xC2, 0x41], [0xE2, 0x82, 0x41],
        ] as [[UInt8]]) func refusesBrokenUTF8(sequence: [UInt8])
    {
        let quote = UInt8(ascii: "\"")
        #expect(fault([quote] + sequence + [quote]) != nil)
        #expect(fault([quote] + sequence) != nil)
    }

    @Test func refusesUTF16() {
        #expect(fault([0xFF, 0xFE, 0x31, 0x00]) != nil)
        #expect(fault([0x31, 0x00]) != nil)
        #expect(fault([0x00, 0x31]) != nil)
    }

    @Test func acceptsTheSameUTF8AsTheStandardLibrary() {
        var random = SeededRandom(seed: 9)
        var valid = 0
        for _ in 0..<100_000 {
            let bytes = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                UInt8.random(in: 0x80...0xFF, using: &random)
            }
            let isValid = String(validating: bytes, as: UTF8.self) != nil
            valid += isValid ? 1 : 0
            #expect((fault([0x22] + bytes + [0x22]) == nil) == isValid, "\(bytes)")
        }
        #expect(valid > 1000)
    }

    /// Never traps, and what it lets through, the decoder takes.
    @Test func agreesWithTheDecoder() {
        struct Anything: Decodable {
            init(from decoder: any Decoder) throws {
                if var list = try? decoder.unkeyedContainer() {
                    while !list.isAtEnd { _ = try list.decode(Anything.self) }
                } else if let object = try? decoder.container(keyedBy: Key.self) {
                    for key in object.allKeys { _ = try object.decode(Anything.self, forKey: key) }
                }
            }
            struct Key: CodingKey {
                var stringValue: String
                var intValue: Int?
                init(stringValue: String) { self.stringValue = stringValue }
                init?(intValue: Int) { nil }
            }
        }
        var random = SeededRandom(seed: 2)
        let pieces = [
            "[", "]", "{", "}", ",", ":", "\"a\"", "\"", "1", "-", "0", ".", "e", "true", "null",
            " ", "\\", "u00e9", "é",
        ]
        var accepted = 0
        for _ in 0..<100_000 {
            let count = Int.random(in: 1...7, using: &random)
            let json = (0..<count).compactMap { _ in pieces.randomElement(using: &random) }.joined()
            let bytes = Array(json.utf8)
            guard fault(bytes) == nil else { continue }
            accepted += 1
            #expect(throws: Never.self, "\(json)") {
                _ = try JSONCodec().decode(Anything.self, from: bytes.span.bytes)
            }
        }
        #expect(accepted > 500)
        for _ in 0..<20_000 { _ = fault(random.bytes(upTo: 20)) }
    }
}
