import Foundation
import Micro
import MicroYAML
import Testing

@Suite struct YAMLWritingTests {
    private func text(_ value: some Encodable) throws -> String {
        String(decoding: try YAMLCodec().encode(value), as: UTF8.self)
    }

    private struct Kitchen: Codable, Equatable {
        struct Oven: Codable, Equatable { var (name, heats): (String, [Int]) }
        var name = "the kitchen"
        var ovens = [Oven(name: "a", heats: [150, 200]), Oven(name: "no", heats: [])]
        var grid = [[1, 2], [3]]
        var hours: [String: Double] = ["open": 8.5, "1": 0]
        var none: [String: Int] = [:]
        var isOpen = true
        var secret: [UInt8] = [0, 255]
        var since = Date(timeIntervalSince1970: 0)
    }

    @Test func blocks() throws {
        let written = try text(Kitchen())
        #expect(
            written == """
                name: the kitchen
                ovens:
                  - name: a
                    heats:
                      - 150
                      - 200
                  - name: "no"
                    heats: []
                grid:
                  - - 1
                    - 2
                  - - 3
                hours:
                  "1": 0.0
                  open: 8.5
                none: {}
                isOpen: true
                secret: !!binary "AP8="
                since: "1970-01-01T00:00:00.000Z"

                """)
        let bytes = try YAMLCodec().encode(Kitchen())
        #expect(try YAMLCodec().decode(Kitchen.self, from: bytes.span.bytes) == Kitchen())
    }

    @Test(arguments: [
        "", " ", "a ", " a", "~", "null", "Null", "true", "NO", "y", "1", "-1", "1e3", "0x1F",
        ".inf", "-", "--- a", "...", "? a", "a: b", "a #b", "#", "&a", "*a", "!a", "|", ">", "%a",
        "@a", "`a", "'", "\"", "\\", "[a]", "{a}", "a,b", "<<", "=", "2026-11-27", "1:30", "a\nb",
        "a\r\n", "\t", "\u{0}\u{1F}\u{7F}\u{85}\u{A0}", "\u{2028}\u{2029}\u{FEFF}x", "\u{FFFE}",
        "\u{FFFF}", "\u{10FFFF}", "é日😀", "e\u{301}", "a:", "a :b", "- a", "-a", ".a", "+a",
    ])
    func textsComeBack(_ text: String) throws {
        let bytes = try YAMLCodec().encode([text: [[text]]])
        let back = try YAMLCodec().decode([String: [[String]]].self, from: bytes.span.bytes)
        let (key, value) = try #require(back.first)
        #expect(Array(key.utf8) == Array(text.utf8), "\(String(decoding: bytes, as: UTF8.self))")
        #expect(value.first?.first.map { Array($0.utf8) } == Array(text.utf8))
    }

    @Test(arguments: [0, 1, 127, 128, 129, 1023, 1024, 1025, 100_000])
    func longKeysComeBack(_ length: Int) throws {
        let key = String(repeating: "k", count: length)
        for value in [[key: ["a": 1, key: 2]], [key: [:]]] {
            let bytes = try YAMLCodec().encode([value])
            let back = try YAMLCodec().decode(
                [[String: [String: Int]]].self, from: bytes.span.bytes)
            #expect(back == [value])
        }
    }

    @Test func bytesComeBack() throws {
        for count in 1...70 {
            let value = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 37 + 250) }
            let bytes = try YAMLCodec().encode(["a": value])
            let back = try YAMLCodec().decode([String: [UInt8]].self, from: bytes.span.bytes)
            #expect(back == ["a": value])
            #expect(
                String(decoding: bytes, as: UTF8.self).contains(Data(value).base64EncodedString()))
        }
    }

    @Test func whatIsNotFinite() throws {
        #expect(
            try text([Double.infinity, -.infinity, .nan, -0.0, 1e300, 5e-324])
                == "- .inf\n- -.inf\n- .nan\n- -0.0\n- 1e+300\n- 5e-324\n")
        #expect(try text([Float(0.1)]) == "- 0.1\n")
    }

    @Test func scalarsAlone() throws {
        #expect(try text("a b") == "a b\n")
        #expect(try text(Int?.none) == "null\n")
        #expect(try text([Int]()) == "[]\n")
        #expect(try text(Empty()) == "{}\n")
    }

    @Test func depth() throws {
        struct Chain: Codable { var next: [Chain] }
        let deep = (0..<40).reduce(Chain(next: [])) { chain, _ in Chain(next: [chain]) }
        let error = try #require(throws: MicroError.self) { () throws -> Void in
            _ = try YAMLCodec().encode(deep)
        }
        #expect(error.code == .internal)
        let bytes = try YAMLCodec(maximumDepth: 100).encode(deep)
        #expect(!bytes.isEmpty)
    }

    @Test func negotiated() throws {
        let codecs = Codecs([JSONCodec(), YAMLCodec()])
        #expect(codecs.names == ["json", "yaml"])
        let codec = try codecs.codec(for: "application/vnd.kitchen+yaml", carrying: Kitchen.self)
        #expect(codec.name == "yaml")
        #expect(
            try codecs.negotiate(
                accept: "application/yaml", request: nil, carrying: Kitchen.self
            ).contentType == .yaml)
    }
}
