import Testing

@testable import Micro

@Suite struct TextPatternTests {
    @Test(arguments: [
        ("", "", true), ("", "a", false), ("7", "7", true), ("7", "77", false), ("7", "", false),
        ("*", "", true), ("*", "anything", true), ("**", "", true),
        ("beta-*", "beta-", true), ("beta-*", "beta-x", true), ("beta-*", "alpha-x", false),
        ("*.example", "www.example", true), ("*.example", "www.example.org", false),
        ("a*a", "aa", true), ("a*a", "a", false), ("a*a", "aba", true),
        ("a*b*c", "a-b-c", true), ("a*b*c", "acb", false), ("a*bb*c", "abbbc", true),
        ("*b*", "abc", true), ("*b*", "ac", false), ("a*b*b", "ab", false),
        ("a*b*b", "abb", true), ("Gre*.Hello", "Greeter.Hello", true),
        ("\\*", "*", true), ("\\*", "a", false), ("a\\*b*", "a*bcd", true), ("\\\\", "\\", true),
        ("\\a", "a", true), ("end\\", "end\\", true),
        ("gr\u{fc}n*", "gr\u{fc}nlich", true), ("*\u{1F600}", "a\u{1F600}", true),
    ])
    func matches(pattern: String, text: String, isMatch: Bool) {
        #expect(TextPattern(pattern).matches(text) == isMatch)
    }

    @Test func isASingleString() throws {
        let pattern: TextPattern = "a\\**"
        let bytes = try JSONCodec().encode(["x": pattern])
        #expect(String(decoding: bytes, as: UTF8.self) == #"{"x":"a\\**"}"#)
        let back = try JSONCodec().decode([String: TextPattern].self, from: bytes.span.bytes)
        #expect(back == ["x": pattern])
        #expect(TextPattern("\\a") != TextPattern("a"))
        #expect(TextPattern.any.matches("") && TextPattern.any.matches("x"))
        #expect(!TextPattern("").matches("x"))
        #expect(!TextPattern("a*").matches("x"))
    }

    /// Against a matcher that tries every way.
    @Test func agreesWithTheSlowWay() {
        var generator = SeededRandom(seed: 5)
        for _ in 0..<3000 {
            let pattern = (0..<Int.random(in: 0...6, using: &generator)).map { _ in
                "ab*".randomElement(using: &generator) ?? "a"
            }
            let text = (0..<Int.random(in: 0...7, using: &generator)).map { _ in
                "ab".randomElement(using: &generator) ?? "a"
            }
            #expect(
                TextPattern(String(pattern)).matches(String(text))
                    == slowly(pattern[...], text[...]), "\(String(pattern)) \(String(text))")
        }
    }

    private func slowly(_ pattern: ArraySlice<Character>, _ text: ArraySlice<Character>) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        if first == "*" {
            return (text.startIndex...text.endIndex).contains {
                slowly(pattern.dropFirst(), text[$0...])
            }
        }
        return text.first == first && slowly(pattern.dropFirst(), text.dropFirst())
    }
}
