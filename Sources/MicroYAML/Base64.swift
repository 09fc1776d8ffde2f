// The base64 of RFC 4648, which YAML's `!!binary` has with blanks and line breaks in it.

private let digits = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

/// What each byte is worth; 255: it is no digit.
private let values: [UInt8] = {
    var values = [UInt8](repeating: 255, count: 256)
    for (value, digit) in digits.enumerated() { values[Int(digit)] = UInt8(value) }
    return values
}()

extension [UInt8] {
    /// In base64, with padding.
    var base64: [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity((count + 2) / 3 * 4)
        for start in stride(from: 0, to: count, by: 3) {
            let group = self[start..<Swift.min(start + 3, count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for place in 0..<4 {
                text.append(
                    place <= group.count ? digits[bits >> (18 - 6 * place) & 63] : UInt8(ascii: "=")
                )
            }
        }
        return text
    }

    /// From base64 with padding, whatever blanks are in it; nil when it is none.
    init?(base64 text: String) {
        self = []
        var (bits, count, padding) = (0, 0, 0)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"):
                continue
            case UInt8(ascii: "="):
                padding += 1
            default:
                guard values[Int(byte)] != 255, padding == 0 else { return nil }
                bits = bits << 6 | Int(values[Int(byte)])
            }
            count += 1
            guard count % 4 == 0 else { continue }
            guard padding <= 2, padding == 0 || bits & (padding == 1 ? 3 : 15) == 0 else {
                return nil
            }
            append(group: bits << (6 * padding), padding: padding)
            bits = 0
        }
        guard count % 4 == 0 else { return nil }
    }

    private mutating func append(group bits: Int, padding: Int) {
        append(UInt8(bits >> 16 & 255))
        if padding < 2 { append(UInt8(bits >> 8 & 255)) }
        if padding < 1 { append(UInt8(bits & 255)) }
    }
}
