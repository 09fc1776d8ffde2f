import Foundation
import Micro
import Testing

extension EndToEnd {
    /// Our codecs and those of Python (json, msgpack, cbor2), of which each reads what the other
    /// wrote.
    @Suite struct CodecPeerTests {
        private static let codecs: [any Codec] = [JSONCodec(), MessagePackCodec(), CBORCodec()]

        @Test func treesComeBackFromPython() async throws {
            let program = try Peer.start("codecs.py", "echo")
            var trees: [(codec: any Codec, tree: JSONValue)] = []
            var lines = ""
            for seed in 0..<1000 {
                for codec in Self.codecs {
                    var maker = TreeMaker(seed: UInt64(seed))
                    let tree = maker.tree()
                    trees.append((codec, tree))
                    lines += try line(codec.encode(tree), codec)
                }
            }
            try program.write(lines)
            program.closeInput()
            let result = try await program.end()
            #expect(result.exit == .code(0), "\(result.errors)")
            let answers = result.output.split(separator: "\n")
            try #require(answers.count == trees.count, "\(result.errors)")
            for (sent, answer) in zip(trees, answers) {
                let bytes = try bytes(of: answer)
                let back = try sent.codec.decode(JSONValue.self, from: bytes.span.bytes)
                #expect(back.isSame(as: sent.tree), "\(sent.codec.name)")
            }
        }

        @Test func pythonsValuesComeBackToIt() async throws {
            let count = 6000
            let program = try Peer.start("codecs.py", "values", String(count))
            _ = try await program.line(with: "end")
            let values = program.output.split(separator: "\n").dropLast()
            try #require(values.count == count)
            var lines = ""
            for value in values {
                let codec = try #require(
                    Self.codecs.first { $0.name == value.prefix { $0 != " " } })
                let bytes = try bytes(of: value)
                do {
                    let tree = try codec.decode(JSONValue.self, from: bytes.span.bytes)
                    lines += try line(codec.encode(tree), codec)
                } catch {
                    Issue.record("\(codec.name): \(error): \(value.prefix(500))")
                    lines += try line(codec.encode("refused"), codec)
                }
            }
            try program.write(lines)
            let differing = try await Peer.observation(of: program, as: [String].self)
            #expect(differing == [])
        }

        /// How Python's json differs, with the option `strict`, which is its default.
        private func isKnownDifference(_ name: Substring) -> Bool {
            // It reads the constants that JavaScript has for what is not finite.
            ["word-NaN", "word-Infinity", "word-minus-Infinity"].contains(name)
                // It takes half of a surrogate pair, which has no form in UTF-8, for a character.
                || name.hasPrefix("surrogates-") || name == "object-key-lone-surrogate"
                // It goes as deep as its stack does; our limit is 64.
                || name.contains("of-depth-")
        }

        @Test func pythonAgreesWhatIsJSON() async throws {
            let cases = try String(
                contentsOfFile: Installation.root + "/Tests/JSON/cases.txt", encoding: .utf8
            ).split(separator: "\n").filter { !$0.hasPrefix("#") }
            var texts: [(name: Substring, isJSON: Bool, isTaken: Bool)] = []
            let program = try Peer.start("codecs.py", "judge")
            for one in cases {
                let parts = one.split(
                    separator: "|", maxSplits: 2, omittingEmptySubsequences: false)
                try #require(parts.count == 3)
                let bytes = unescaped(parts[2])
                let taken = try? JSONCodec().decode(Anything.self, from: bytes.span.bytes)
                texts.append((parts[1], parts[0] == "y", taken != nil))
                try program.write(Data(bytes).base64EncodedString() + "\n")
            }
            let judged = try await Peer.observation(of: program, as: [Bool].self)
            try #require(judged.count == texts.count && texts.count > 500)
            for (text, isJSONToPython) in zip(texts, judged) {
                #expect(text.isTaken == text.isJSON, "\(text.name)")
                if text.isTaken != isJSONToPython {
                    #expect(isJSONToPython && isKnownDifference(text.name), "\(text.name)")
                }
            }
        }

        private func line(_ bytes: [UInt8], _ codec: any Codec) -> String {
            "\(codec.name) \(Data(bytes).base64EncodedString())\n"
        }

        private func bytes(of line: Substring) throws -> [UInt8] {
            let text = line.drop { $0 != " " }.dropFirst()
            return [UInt8](try #require(Data(base64Encoded: String(text)), "\(line.prefix(200))"))
        }

        /// %HH is one byte.
        private func unescaped(_ text: Substring) -> [UInt8] {
            var bytes: [UInt8] = []
            var rest = Array(text.utf8)[...]
            while let byte = rest.popFirst() {
                if byte == UInt8(ascii: "%") {
                    let digits = String(decoding: rest.prefix(2), as: UTF8.self)
                    bytes.append(UInt8(digits, radix: 16) ?? byte)
                    rest = rest.dropFirst(2)
                } else {
                    bytes.append(byte)
                }
            }
            return bytes
        }
    }
}

/// Any message that is well formed, whatever fits into it: 1e400 is JSON, too.
private struct Anything: Decodable {
    init(from decoder: any Decoder) throws {}
}

extension JSONValue {
    /// Whether it is equal, with numbers by what they are worth: a reader of JSON takes 2.0 for the
    /// integer 2, and a large number for the integer that its shortest digits are.
    fileprivate func isSame(as other: JSONValue) -> Bool {
        switch (self, other) {
        case (.number(let a), _):
            return other.double == a
        case (_, .number(let b)):
            return double == b
        case (.array(let a), .array(let b)):
            return a.count == b.count && zip(a, b).allSatisfy { $0.isSame(as: $1) }
        case (.object(let a), .object(let b)):
            return a.count == b.count && a.allSatisfy { b[$0]?.isSame(as: $1) ?? false }
        default:
            return self == other
        }
    }

    private var double: Double? {
        switch self {
        case .integer(let number): Double(number)
        case .unsigned(let number): Double(number)
        case .number(let number): number
        default: nil
        }
    }
}

/// Makes random trees: the same for the same seed.
private struct TreeMaker {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// SplitMix64.
    private mutating func random() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var bits = state
        bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
        return bits ^ (bits >> 31)
    }

    private mutating func random(below limit: Int) -> Int { Int(random() % UInt64(limit)) }

    private mutating func one<T>(of choices: [T]) -> T { choices[random(below: choices.count)] }

    mutating func tree(depth: Int = 0) -> JSONValue {
        switch random(below: depth < 6 ? 8 : 5) {
        case 0: return .null
        case 1: return .boolean(random() & 1 == 0)
        case 2: return integer()
        case 3: return .number(real())
        case 4: return .string(text())
        case 5, 6:
            return .array((0..<(random(below: 17) >> depth)).map { _ in tree(depth: depth + 1) })
        default:
            var fields: [String: JSONValue] = [:]
            for _ in 0..<(random(below: 17) >> depth) { fields[text()] = tree(depth: depth + 1) }
            return .object(fields)
        }
    }

    private mutating func integer() -> JSONValue {
        let bits = random() >> UInt64(random(below: 64))
        if bits > Int64.max { return .unsigned(bits) }
        return .integer(random() & 1 == 0 ? Int64(bits) : ~Int64(bits))
    }

    private mutating func real() -> Double {
        if random() & 3 == 0 {
            return one(of: [
                0, 0.1, 1 / 3, 1e21, 1e-7, -1e300, .leastNonzeroMagnitude, .leastNormalMagnitude,
                .greatestFiniteMagnitude, 65504, 65520, 9_007_199_254_740_993,
            ])
        }
        // Now and then one that is not normal.
        let mask: UInt64 = random() & 3 == 0 ? ~(0x7FF << 52) : ~0
        let number = Double(bitPattern: random() & mask)
        return number.isFinite ? number : 0.5
    }

    private mutating func text() -> String {
        let scalars =
            "aZ \"\\/\0\n\r\t\u{1F}\u{7F}\u{85}éß日\u{2028}\u{FEFF}\u{FFFF}\u{301}😀\u{10FFFF}"
            .unicodeScalars.map { $0 }
        var text = String.UnicodeScalarView()
        for _ in 0..<one(of: [0, 1, 2, 5, 15, 16, 31, 32, 40, 300]) {
            text.append(one(of: scalars))
        }
        return String(text)
    }
}
