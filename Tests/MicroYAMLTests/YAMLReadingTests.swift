import Micro
import MicroYAML
import Testing

@Suite struct YAMLReadingTests {
    private func read<T: Decodable>(
        _ text: String, as type: T.Type = T.self, _ codec: YAMLCodec = YAMLCodec()
    ) throws -> T {
        let bytes = Array(text.utf8)
        return try codec.decode(type, from: bytes.span.bytes)
    }

    /// What is said about a text that is refused.
    private func fault(_ text: String, _ codec: YAMLCodec = YAMLCodec()) throws -> String {
        try fault(Array(text.utf8), codec)
    }

    private func fault(_ bytes: [UInt8], _ codec: YAMLCodec = YAMLCodec()) throws -> String {
        let error = try #require(throws: MicroError.self) { () throws -> Void in
            _ = try codec.decode(JSONValue.self, from: bytes.span.bytes)
        }
        #expect(error.code == .invalidArgument)
        return error.detail
    }

    @Test func aConfiguration() throws {
        let value: JSONValue = try read(
            """
            # The kitchen.
            service: kitchen
            ports: [8080, 8081]   # both
            limits:
              timeout: 1.50
              retries: 0
            hosts:
            - name: "a"
              up: true
            - {name: 'b', up: false}
            - name: ~
            note: |
              two
              lines
            folded: >-
              one
              line
            """)
        #expect(
            value
                == .object([
                    "service": .string("kitchen"),
                    "ports": .array([.integer(8080), .integer(8081)]),
                    "limits": .object(["timeout": .number(1.5), "retries": .integer(0)]),
                    "hosts": .array([
                        .object(["name": .string("a"), "up": .boolean(true)]),
                        .object(["name": .string("b"), "up": .boolean(false)]),
                        .object(["name": .null]),
                    ]),
                    "note": .string("two\nlines\n"),
                    "folded": .string("one line"),
                ]))
    }

    @Test(arguments: ["no", "No", "NO", "yes", "on", "Off", "y", "n", "NaN", "nULL", "1:30"])
    func whatOldYAMLTakesForSomethingElseIsAString(_ word: String) throws {
        #expect(try read("country: \(word)") == ["country": word])
    }

    @Test(arguments: [
        "0b11", "1_000", "0o8", "0xg", "0x", "0o", "-0x1F", "+", "-", ".", "1e", "1.e", "e5", "+-1",
        "2026-11-27", "1.2.3", ".info", "--1", "١٢",
    ])
    func whatIsNoNumberIsAString(_ word: String) throws {
        #expect(try read("- x\n- \(word == "-" ? "'-'" : word)") == ["x", word])
    }

    @Test func numbers() throws {
        #expect(try read("[0, -1, +7, 007, 0o17, 0x1F, 0xff]") == [0, -1, 7, 7, 15, 31, 255])
        #expect(
            try read("[1., .5, -.5e-3, +1E+2, 1e3, -0.0, 012.50]")
                == [1, 0.5, -0.0005, 100, 1000, -0.0, 12.5])
        #expect(try read("[.inf, -.Inf, +.INF]") == [Double.infinity, -.infinity, .infinity])
        let notANumber: Double = try read(".nan")
        #expect(notANumber.isNaN)
        #expect(try read("18446744073709551615") == UInt64.max)
        #expect(try read("0xFFFFFFFFFFFFFFFF") == UInt64.max)
        #expect(try read("-9223372036854775808") == Int64.min)
        #expect(try read("100000000000000000000") == 1e20)
        #expect(try fault("0x10000000000000000").contains("line 1, column 1"))
    }

    @Test func nullsAndTruths() throws {
        let nulls: [Int?] = try read("- null\n- Null\n- NULL\n- ~\n-\n- 1")
        #expect(nulls == [nil, nil, nil, nil, nil, 1])
        #expect(
            try read("[true, True, TRUE, false, False, FALSE]")
                == [true, true, true, false, false, false])
        #expect(try read("key:") == ["key": Int?.none])
    }

    @Test func whatIsQuotedIsAString() throws {
        #expect(
            try read("['1', \"true\", '~', \"\", '.inf', \"\\x41\\u00e9\\U0001F600\"]")
                == ["1", "true", "~", "", ".inf", "Aé😀"])
        #expect(try read("--- |\n  1\n") == "1\n")
    }

    @Test func keysAreTexts() throws {
        let keys: [String: Int] = try read("1: 1\ntrue: 2\n~: 3\n0x1F: 4\n1.5: 5\n<<: 6\n? a\n: 7")
        #expect(keys == ["1": 1, "true": 2, "~": 3, "0x1F": 4, "1.5": 5, "<<": 6, "a": 7])
        #expect(try read("1: one\n2: two") == [1: "one", 2: "two"])
        #expect(try fault("a: 1\n? [b]\n: 2").contains("line 2, column 3"))
        #expect(try fault("{{a: 1}: 2}").contains("no key"))
    }

    @Test func tags() throws {
        #expect(try read("[!!str 1, !!str true, !!str '']") == ["1", "true", ""])
        #expect(try read("[!!int 1, !!float 2, !!float 2.5]") == [1, 2, 2.5])
        #expect(try read("!!seq [!!bool true]") == [true])
        #expect(try read("!!map {!!str a: !!null ~}") == ["a": Int?.none])
        #expect(try read("!!binary AAEC\\\n  /w==".replacing("\\", with: "")) == bytes)
        #expect(try read("%TAG !e! tag:yaml.org,2002:\n---\n!e!str 1") == "1")
        for text in [
            "!!int x", "!!int 1.5", "!!bool yes", "!!null 0", "!!float ''", "!!binary A",
            "!!binary AB=", "!!binary QQ==QQ==", "!!binary QR==", "!!set {a}", "!!timestamp 2026",
            "!mine 1", "!!map [a]", "!!seq {a: 1}", "!!str [a]", "{!mine a: 1}",
            "!<tag:example.com,2026:x> 1",
        ] {
            #expect(try fault("- 0\n- \(text)").contains("line 2, column"), "\(text)")
        }
    }
    private let bytes: [UInt8] = [0, 1, 2, 255]

    @Test func billionLaughsAreRefusedAtTheFirst() throws {
        var text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
        for level in 1..<30 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(aliases)]\n"
        }
        #expect(try fault(text).contains("line 1, column 5: an anchor"))
        #expect(try fault("? *x\n: 1").contains("line 1, column 3: an alias"))
        #expect(try fault("a: 1\nb: *a").contains("line 2, column 4: an alias"))
        #expect(try fault("&k a: 1").contains("an anchor"))
        #expect(try fault("base: {x: 1}\nmore:\n  <<: *base").contains("line 3, column 7"))
        #expect(try read("a: \"&b *c\"\nd: R&D * 2") == ["a": "&b *c", "d": "R&D * 2"])
    }

    @Test func depth() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        let deepest: JSONValue = try read(nested(64))
        #expect(deepest != .null)
        #expect(try fault(nested(65)).contains("line 1, column 65"))
        // The parser's own limit comes first: it looks ahead for the colon of a key.
        let endless = try fault(String(repeating: "[", count: 500_000))
        #expect(endless.contains("line 1, column"))
        #expect(try fault(String(repeating: "- ", count: 400_000)).contains("column 129"))
        #expect(try fault(String(repeating: "? ", count: 400_000)).contains("no key"))
        #expect(try fault("[[1]]", YAMLCodec(maximumDepth: 1)).contains("column 2"))
    }

    @Test func size() throws {
        let codec = YAMLCodec(maximumSize: 10)
        #expect(try read("\"12345678\"", codec) == "12345678")
        #expect(try fault("\"123456789\"", codec).contains("11 bytes"))
        #expect(try fault([UInt8](repeating: 0x20, count: 1 << 20 + 1)).contains("1048576"))
    }

    @Test func whatComesTwiceIsRefused() throws {
        #expect(try fault("a: 1\nb: 2\na: 3").contains("line 3, column 1: the key \"a\""))
        #expect(try fault("{1: a, \"1\": b}").contains("column 8"))
        // One character, and two that look the same.
        let keys: JSONValue = try read("{\"\\u00E9\": 1, \"e\\u0301\": 2}")
        #expect(keys != .null)
    }

    @Test func oneDocumentAndNoMore() throws {
        #expect(try read("%YAML 1.2\n--- 1\n...\n") == 1)
        #expect(try read("\u{FEFF}a: 1") == ["a": 1])
        #expect(try fault("--- 1\n--- 2").contains("line 2, column 1: a second document"))
        #expect(try fault("--- 1\n...\n---\n").contains("line 3, column 1"))
        #expect(try fault("# nothing\n\n").contains("no document"))
        #expect(try fault(" ").contains("no document"))
    }

    @Test func syntaxErrorsHaveAPlace() throws {
        #expect(try fault("a: 1\n  b: 2").contains("line 2, column 4"))
        #expect(try fault("a: [1, 2\nb: 3").contains("line 2"))
        #expect(try fault("a: \"x").contains("line 1, column"))
        #expect(try fault("\ta: 1").contains("line 1, column 1"))
        #expect(try fault("é: 'ü' x").contains("column 8"))
        #expect(try fault("@a").contains("column 1"))
    }

    @Test func whatIsNoUTF8() throws {
        for bytes: [UInt8] in [
            [0x61, 0x3A, 0x20, 0xFF], [0x61, 0xC3], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0x61, 0],
            [0x61, 7], [0xF4, 0x90, 0x80, 0x80], [0xFF, 0xFE, 0x61, 0],
        ] {
            #expect(try fault(bytes).contains("at byte"), "\(bytes)")
        }
    }

    @Test func errorsOfTypesNameTheField() throws {
        struct Kitchen: Decodable { let ovens: [[String: Int]] }
        let bytes = Array("ovens:\n- heat: hot".utf8)
        let error = try #require(throws: MicroError.self) { () throws -> Void in
            _ = try YAMLCodec().decode(Kitchen.self, from: bytes.span.bytes)
        }
        #expect(error.code == .invalidArgument)
        #expect(error.metadata["field"] == "ovens[0].heat")
    }
}
