@testable import Micro

/// A seeded source for property tests (SplitMix64), so that a failure can be repeated.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// Text with everything that escapers get wrong.
    mutating func text(upTo count: Int = 24) -> String {
        var text = ""
        for _ in 0..<Int.random(in: 0...count, using: &self) {
            text.unicodeScalars.append(scalar())
        }
        return text
    }

    mutating func bytes(upTo count: Int) -> [UInt8] {
        (0..<Int.random(in: 0...count, using: &self)).map { _ in .random(in: 0...255, using: &self)
        }
    }

    private mutating func scalar() -> Unicode.Scalar {
        let hostile: [Unicode.Scalar] = [
            "\"", "\\", "'", "/", "\n", "\r", "\t", "\0", "\u{7F}", "\u{85}", "\u{2028}",
            "\u{FEFF}",
            "\u{FFFD}", "\u{FFFF}", "\u{10FFFF}", "{", "}", ":", ",", "\u{301}", "\u{212A}",
        ]
        switch UInt8.random(in: 0...4, using: &self) {
        case 0: return hostile[Int.random(in: 0..<hostile.count, using: &self)]
        case 1: return Unicode.Scalar(UInt8.random(in: 0..<0x20, using: &self))
        case 2: return Unicode.Scalar(UInt8.random(in: 0x20..<0x7F, using: &self))
        default:
            return Unicode.Scalar(UInt32.random(in: 0...0x10FFFF, using: &self)) ?? "\u{1F600}"
        }
    }

    mutating func error() -> MicroError {
        var metadata: [String: String] = [:]
        for _ in 0..<Int.random(in: 0...4, using: &self) { metadata[text(upTo: 8)] = text() }
        if Bool.random(using: &self) { metadata["field"] = text(upTo: 8) }
        return MicroError(
            text(), Self.codes.randomElement(using: &self) ?? .unknown, text(upTo: 60),
            reason: text(),
            metadata: metadata, retryable: Bool.random(using: &self) ? nil : false)
    }

    static let codes: [MicroError.Code] =
        (1...16).map { MicroError.Code(rpc: $0) } + [
            .methodNotAllowed, .notAcceptable, .unsupportedMediaType, .payloadTooLarge, .conflict,
        ]
}
