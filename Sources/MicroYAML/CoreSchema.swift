/// What a word without quotes is, by the core schema of YAML 1.2 (10.3.2).
enum CoreSchema {
    case null
    case boolean(Bool)
    case integer(Integer)
    case real(Real)
    case text

    enum Integer {
        /// As JSON writes it.
        case decimal(String)
        /// `0o17`, `0x1F`: the digits.
        case power(Substring, radix: Int)
    }

    enum Real {
        /// As JSON writes it.
        case decimal(String)
        /// An infinity, or not a number.
        case special(Double)
    }

    init(_ word: String) {
        switch word {
        case "", "~", "null", "Null", "NULL": self = .null
        case "true", "True", "TRUE": self = .boolean(true)
        case "false", "False", "FALSE": self = .boolean(false)
        case ".nan", ".NaN", ".NAN": self = .real(.special(.nan))
        case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": self = .real(.special(.infinity))
        case "-.inf", "-.Inf", "-.INF": self = .real(.special(-.infinity))
        default: self = Self.number(word) ?? .text
        }
    }

    private static func number(_ word: String) -> CoreSchema? {
        if word.hasPrefix("0o") { return power(word.dropFirst(2), radix: 8) }
        if word.hasPrefix("0x") { return power(word.dropFirst(2), radix: 16) }
        var rest = word.utf8[...]
        let isNegative = rest.first == UInt8(ascii: "-")
        if isNegative || rest.first == UInt8(ascii: "+") { rest.removeFirst() }
        let whole = rest.takeDigits()
        let hasPoint = rest.first == UInt8(ascii: ".")
        if hasPoint { rest.removeFirst() }
        let fraction = hasPoint ? rest.takeDigits() : ""
        guard !whole.isEmpty || !fraction.isEmpty else { return nil }
        var exponent = ""
        if let mark = rest.first, mark == UInt8(ascii: "e") || mark == UInt8(ascii: "E") {
            rest.removeFirst()
            exponent = "e"
            if let sign = rest.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") {
                rest.removeFirst()
                exponent += sign == UInt8(ascii: "-") ? "-" : ""
            }
            let digits = rest.takeDigits()
            guard !digits.isEmpty else { return nil }
            exponent += digits
        }
        guard rest.isEmpty else { return nil }

        let leading = whole.drop { $0 == "0" }
        let digits = (isNegative ? "-" : "") + (leading.isEmpty ? "0" : leading)
        if !hasPoint && exponent.isEmpty { return .integer(.decimal(digits)) }
        return .real(.decimal("\(digits).\(fraction.isEmpty ? "0" : fraction)\(exponent)"))
    }

    private static func power(_ digits: Substring, radix: Int) -> CoreSchema? {
        let isNumber =
            !digits.isEmpty
            && digits.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "7"): true
                case UInt8(ascii: "8")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
                    UInt8(ascii: "A")...UInt8(ascii: "F"):
                    radix == 16
                default: false
                }
            }
        return isNumber ? .integer(.power(digits, radix: radix)) : nil
    }
}

extension Substring.UTF8View {
    fileprivate mutating func takeDigits() -> Substring {
        let digits = prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        self = self[digits.endIndex...]
        return Substring(digits)
    }
}
