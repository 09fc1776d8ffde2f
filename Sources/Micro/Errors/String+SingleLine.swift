extension String {
    /// The text with everything escaped that would start a new line, drive a terminal or reorder
    /// what is shown.
    package var onSingleLine: String {
        guard unicodeScalars.contains(where: \.breaksLines) else { return self }
        var line = ""
        for scalar in unicodeScalars {
            switch scalar {
            case "\n": line += "\\n"
            case "\r": line += "\\r"
            case "\t": line += "\\t"
            case _ where scalar.breaksLines: line += "\\u{\(String(scalar.value, radix: 16))}"
            default: line.unicodeScalars.append(scalar)
            }
        }
        return line
    }

    /// At most `count` characters, with a mark where something was left out.
    func shortened(to count: Int) -> String {
        guard let end = index(startIndex, offsetBy: count, limitedBy: endIndex), end != endIndex
        else { return self }
        return self[..<end] + "…"
    }
}

extension Unicode.Scalar {
    /// Control characters, line and paragraph separators, and marks of the writing direction.
    fileprivate var breaksLines: Bool {
        switch value {
        case 0x00...0x1F, 0x7F...0x9F, 0x2028, 0x2029, 0x202A...0x202E, 0x2066...0x2069: true
        default: false
        }
    }
}
