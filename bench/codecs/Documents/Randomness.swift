/// Numbers that look random, the same in each run (SplitMix64), and texts by them.
struct Randomness {
    private var state: UInt64 = 0x0B5E_55ED

    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var bits = state
        bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
        return bits ^ (bits >> 31)
    }

    mutating func number(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(next() % UInt64(range.count))
    }

    mutating func pick<T>(_ choices: [T]) -> T { choices[number(0...choices.count - 1)] }

    /// A value once in `times`.
    mutating func sometimes<T>(_ times: Int, _ make: (inout Self) -> T) -> T? {
        number(1...times) == 1 ? make(&self) : nil
    }

    mutating func list<T>(_ count: ClosedRange<Int>, _ make: (inout Self) -> T) -> [T] {
        (0..<number(count)).map { _ in make(&self) }
    }

    /// Below `limit` units of the last digit.
    mutating func decimal(_ limit: Int, digits: Int) -> Double {
        Double(number(1...limit)) / [1, 10, 100, 1e3, 1e4, 1e5, 1e6][digits]
    }

    mutating func identifier() -> Int { 505_000_000_000_000_000 + number(0...874_924_095_815_681) }

    /// Where something is in a text.
    mutating func range() -> [Int] {
        let begin = number(0...110)
        return [begin, begin + number(3...25)]
    }

    mutating func name() -> String {
        String(decoding: (0..<number(5...14)).map { _ in UInt8(number(97...122)) }, as: UTF8.self)
    }

    mutating func date() -> String {
        let day = 10 + number(0...18)
        let time = (number(10...23), number(10...59), number(10...59))
        return "Sun Aug \(day) \(time.0):\(time.1):\(time.2) +0000 2014"
    }

    mutating func words(_ count: ClosedRange<Int>) -> String {
        (0..<number(count)).map { _ in pick(Self.words) }.joined(separator: " ")
    }

    /// Words in several scripts, with what JSON has to escape.
    mutating func text(_ count: ClosedRange<Int>) -> String {
        (0..<number(count)).map { _ in
            number(0...2) == 0 ? pick(Self.marked) : pick(Self.words)
        }.joined(separator: " ")
    }

    private static let words = [
        "coffee", "the", "river", "and", "weather", "of", "yesterday", "Müller", "straße", "café",
        "garden", "is", "twelve", "newspaper", "with", "concert", "to", "morning", "train", "a",
    ]
    private static let marked = [
        "名前:前田あゆみ", "第一の「それ」", "😀", "🎉🎉", "\"quoted\"", "line\nbreak", "C:\\path", "привет",
        "http://t.example/a8Bz", "@someone", "#一", "…",
    ]
}
