internal import Micro

/// Writes a tree in blocks.
struct YAMLWriter {
    private(set) var bytes: [UInt8] = []
    /// Where the lines begin that belong to the value that is being written.
    private var indent = 0

    /// What stands in front of a value on its line.
    private enum Front { case nothing, key, dash }

    mutating func write(_ value: borrowing DirectReader) throws {
        try write(value, behind: .nothing)
        bytes.append(UInt8(ascii: "\n"))
    }

    private mutating func write(_ value: borrowing DirectReader, behind front: Front) throws {
        if value.count > 0 {
            // The first line of what stands behind a dash is the dash's own.
            var isFirst = front != .key
            if front == .dash { bytes.append(UInt8(ascii: " ")) }
            if value.kind == .list {
                try value.forEachElement {
                    breakLine(&isFirst)
                    bytes.append(UInt8(ascii: "-"))
                    try writeInside($0, behind: .dash)
                }
            } else {
                try value.forEachField { key, value in
                    breakLine(&isFirst)
                    writeKey(key)
                    try writeInside(value, behind: .key)
                }
            }
        } else {
            if front != .nothing { bytes.append(UInt8(ascii: " ")) }
            try writeScalar(value)
        }
    }

    private mutating func writeInside(_ value: borrowing DirectReader, behind front: Front) throws {
        indent += 2
        try write(value, behind: front)
        indent -= 2
    }

    private mutating func breakLine(_ isFirst: inout Bool) {
        if isFirst {
            isFirst = false
        } else {
            bytes.append(UInt8(ascii: "\n"))
            bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indent))
        }
    }

    private mutating func writeKey(_ key: String) {
        // Readers look for the colon of a short key only, 1024 characters far.
        let isLong = key.utf8.count > 128
        if isLong { bytes += "? ".utf8 }
        writeText(key)
        if isLong {
            var isFirst = false
            breakLine(&isFirst)
        }
        bytes.append(UInt8(ascii: ":"))
    }

    private mutating func writeScalar(_ value: borrowing DirectReader) throws {
        switch value.kind {
        case .null: bytes += "null".utf8
        case .boolean: bytes += (try value.boolean() ? "true" : "false").utf8
        case .integer, .number: bytes += number(value.digits ?? "null").utf8
        case .text: writeText(try value.text())
        case .bytes:
            bytes += "!!binary \"".utf8
            bytes += try value.bytes().base64
            bytes.append(UInt8(ascii: "\""))
        case .list: bytes += "[]".utf8
        case .object: bytes += "{}".utf8
        }
    }

    private func number(_ digits: String) -> String {
        switch digits {
        case "inf": ".inf"
        case "-inf": "-.inf"
        case "nan", "-nan": ".nan"
        default: digits
        }
    }
}

// Texts.
extension YAMLWriter {
    private mutating func writeText(_ text: String) {
        if text.isPlainYAML {
            bytes += text.utf8
            return
        }
        bytes.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars { writeQuoted(scalar) }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func writeQuoted(_ scalar: Unicode.Scalar) {
        switch scalar {
        case "\"": bytes += "\\\"".utf8
        case "\\": bytes += "\\\\".utf8
        case "\n": bytes += "\\n".utf8
        case "\r": bytes += "\\r".utf8
        case "\t": bytes += "\\t".utf8
        // Controls, and what breaks lines in old YAML.
        case "\0"..<" ", "\u{7F}"..<"\u{A0}": writeEscape("x", scalar.value, digits: 2)
        // The byte order mark, and what is no character.
        case "\u{2028}", "\u{2029}", "\u{FEFF}", "\u{FFFE}", "\u{FFFF}":
            writeEscape("u", scalar.value, digits: 4)
        default: bytes += UTF8.encode(scalar).map { Array($0) } ?? []
        }
    }

    private mutating func writeEscape(_ kind: Character, _ value: UInt32, digits: Int) {
        let hex = String(value, radix: 16, uppercase: true)
        bytes += "\\\(kind)\(String(repeating: "0", count: digits - hex.utf8.count))\(hex)".utf8
    }
}

extension String {
    /// Whether every reader takes it for this text as it stands: words of ASCII that begin with a
    /// letter, and mean nothing in any version of YAML.
    fileprivate var isPlainYAML: Bool {
        guard let first = utf8.first, first.isLetter, utf8.last != UInt8(ascii: " "),
            !Self.reserved.contains(lowercased())
        else { return false }
        return utf8.allSatisfy { byte in
            byte.isLetter || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || Self.harmless.contains(byte)
        }
    }

    private static let harmless = Set(" _-./+@".utf8)
    private static let reserved: Set = [
        "null", "true", "false", "yes", "no", "on", "off", "y", "n",
    ]
}

extension UInt8 {
    fileprivate var isLetter: Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20)
    }
}
