/// Checks JSON against RFC 8259 before a decoder sees it.
///
/// Foundation's decoder takes trailing commas, byte order marks and 512 levels, and doesn't say
/// where an error is. The check uses no recursion, so that nesting costs no stack.
package struct JSONSyntax {
    /// Where and why something is not JSON.
    package struct Fault: Hashable {
        var offset: Int
        package var line = 1
        package var column = 1
        package var what: String

        init(_ what: String, at offset: Int) {
            self.what = what
            self.offset = offset
        }
    }

    private enum Expected { case value, valueOrEnd, key, keyOrEnd, separatorOrEnd }

    private let bytes: [UInt8]
    private let maximumDepth: Int
    private var offset = 0
    private var closers: [UInt8] = []

    /// The first fault; nil when it is one JSON value.
    package static func firstFault(in bytes: [UInt8], maximumDepth: Int) -> Fault? {
        var syntax = JSONSyntax(bytes: bytes, maximumDepth: maximumDepth)
        guard var fault = syntax.run() else { return nil }
        syntax.locate(&fault)
        return fault
    }

    private init(bytes: [UInt8], maximumDepth: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
    }

    /// Lines and columns count from 1, columns in bytes.
    private func locate(_ fault: inout Fault) {
        for index in 0..<min(fault.offset, bytes.count) {
            if bytes[index] == UInt8(ascii: "\n") {
                fault.line += 1
                fault.column = 1
            } else {
                fault.column += 1
            }
        }
    }

    private var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard let current, current == UInt8(ascii: character) else { return false }
        offset += 1
        return true
    }

    private mutating func skipBlanks() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            offset += 1
        }
    }

    private mutating func run() -> Fault? {
        var expected = Expected.value
        while true {
            skipBlanks()
            guard let byte = current else {
                return Fault("it ends too early", at: offset)
            }
            switch expected {
            case .valueOrEnd where byte == UInt8(ascii: "]"),
                .keyOrEnd where byte == UInt8(ascii: "}"):
                offset += 1
                closers.removeLast()
                expected = .separatorOrEnd
            case .value, .valueOrEnd:
                if let fault = value(byte, then: &expected) { return fault }
            case .key, .keyOrEnd:
                if let fault = key(byte) { return fault }
                expected = .value
            case .separatorOrEnd:
                if let fault = separator(byte, then: &expected) { return fault }
            }
            if closers.isEmpty {
                skipBlanks()
                return offset == bytes.count
                    ? nil : Fault("something follows the end of the value", at: offset)
            }
        }
    }

    private mutating func value(_ byte: UInt8, then expected: inout Expected) -> Fault? {
        expected = .separatorOrEnd
        switch byte {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            guard closers.count < maximumDepth else {
                return Fault("nested deeper than \(maximumDepth) levels", at: offset)
            }
            let isObject = byte == UInt8(ascii: "{")
            closers.append(isObject ? UInt8(ascii: "}") : UInt8(ascii: "]"))
            expected = isObject ? .keyOrEnd : .valueOrEnd
            offset += 1
            return nil
        case UInt8(ascii: "\""): return string()
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return number()
        case UInt8(ascii: "t"): return word("true")
        case UInt8(ascii: "f"): return word("false")
        case UInt8(ascii: "n"): return word("null")
        case 0xEF, 0xFE, 0xFF, 0x00:
            return Fault("send UTF-8 without a byte order mark", at: offset)
        default: return Fault("expected a value", at: offset)
        }
    }

    private mutating func key(_ byte: UInt8) -> Fault? {
        guard byte == UInt8(ascii: "\"") else {
            return Fault("expected a key in double quotes", at: offset)
        }
        if let fault = string() { return fault }
        skipBlanks()
        return skip(":") ? nil : Fault("expected a colon", at: offset)
    }

    private mutating func separator(_ byte: UInt8, then expected: inout Expected) -> Fault? {
        let closer = closers.last
        if byte == closer {
            offset += 1
            closers.removeLast()
            return nil
        }
        guard skip(",") else {
            return Fault("expected a comma or the end of the list or object", at: offset)
        }
        expected = closer == UInt8(ascii: "}") ? .key : .value
        return nil
    }

    private mutating func word(_ word: StaticString) -> Fault? {
        let start = offset
        for byte in "\(word)".utf8 {
            guard current == byte else { return Fault("expected a value", at: start) }
            offset += 1
        }
        return nil
    }

    private mutating func digits() -> Bool {
        let start = offset
        while let byte = current, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
            offset += 1
        }
        return offset > start
    }

    private mutating func number() -> Fault? {
        _ = skip("-")
        if !skip("0"), !digits() { return Fault("expected a digit", at: offset) }
        if skip("."), !digits() { return Fault("expected a digit", at: offset) }
        if skip("e") || skip("E") {
            if !skip("+") { _ = skip("-") }
            if !digits() { return Fault("expected a digit", at: offset) }
        }
        return nil
    }

    private mutating func string() -> Fault? {
        offset += 1
        while let byte = current {
            switch byte {
            case UInt8(ascii: "\""):
                offset += 1
                return nil
            case UInt8(ascii: "\\"):
                if let fault = escape() { return fault }
            case 0..<0x20:
                return Fault("a control character in a string must be escaped", at: offset)
            case 0x20..<0x80: offset += 1
            default:
                let length = UTF8Sequence.length(in: bytes, at: offset)
                guard length > 0 else { return Fault("the string is not valid UTF-8", at: offset) }
                offset += length
            }
        }
        return Fault("the string does not end", at: offset)
    }

    private mutating func escape() -> Fault? {
        let start = offset
        offset += 1
        switch current {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"),
            UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            offset += 1
            return nil
        case UInt8(ascii: "u"):
            offset += 1
            guard let unit = fourHexDigits() else {
                return Fault("\\u needs four hexadecimal digits", at: start)
            }
            guard unit & 0xF800 == 0xD800 else { return nil }
            // A high surrogate, and nothing but a low one behind it.
            guard unit < 0xDC00, skip("\\"), skip("u"), let low = fourHexDigits(),
                low & 0xFC00 == 0xDC00
            else { return Fault("half of a surrogate pair", at: start) }
            return nil
        default:
            return Fault("an escape that JSON doesn't have", at: start)
        }
    }

    private mutating func fourHexDigits() -> UInt16? {
        var unit: UInt16 = 0
        for _ in 0..<4 {
            let digit: UInt8
            switch current {
            case .some(let byte) where byte &- UInt8(ascii: "0") < 10:
                digit = byte - UInt8(ascii: "0")
            case .some(let byte) where (byte | 0x20) &- UInt8(ascii: "a") < 6:
                digit = (byte | 0x20) - UInt8(ascii: "a") + 10
            default: return nil
            }
            unit = unit << 4 | UInt16(digit)
            offset += 1
        }
        return unit
    }
}

/// The well-formed sequences of more than one byte (Unicode, table 3-7).
enum UTF8Sequence {
    /// The length of the sequence at `offset`; 0 when it is not well-formed.
    static func length(in bytes: [UInt8], at offset: Int) -> Int {
        let second: ClosedRange<UInt8>
        let length: Int
        switch bytes[offset] {
        case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xE1...0xEC, 0xEE...0xEF: (length, second) = (3, 0x80...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        default: return 0
        }
        guard bytes.count - offset >= length, second.contains(bytes[offset + 1])
        else { return 0 }
        for index in 2..<max(length, 2) where bytes[offset + index] & 0xC0 != 0x80 { return 0 }
        return length
    }
}
