/// What a text has to look like: the text itself, in which `*` stands for any characters, or none.
///
/// "7" is exactly that, "beta-*" begins with it, "*.example" ends with it, and "*" is any text at
/// all. A star that is meant is written `\*`, and a backslash `\\`.
public struct TextPattern: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// As it was written.
    public let description: String
    /// What stands between the stars.
    private let pieces: [[UInt8]]

    /// - Parameter text: The pattern.
    public init(_ text: String) {
        description = text
        var pieces: [[UInt8]] = [[]]
        var isEscaped = false
        for byte in text.utf8 {
            if isEscaped || (byte != UInt8(ascii: "*") && byte != UInt8(ascii: "\\")) {
                pieces[pieces.count - 1].append(byte)
                isEscaped = false
            } else if byte == UInt8(ascii: "*") {
                pieces.append([])
            } else {
                isEscaped = true
            }
        }
        if isEscaped { pieces[pieces.count - 1].append(UInt8(ascii: "\\")) }
        self.pieces = pieces
    }

    /// The pattern.
    public init(stringLiteral text: String) { self.init(text) }

    /// Any text.
    public static let any: TextPattern = "*"

    /// Whether `text` looks like this.
    public func matches(_ text: String) -> Bool {
        guard pieces.count > 1 else { return text.utf8.elementsEqual(pieces[0]) }
        let (first, last) = (pieces[0], pieces[pieces.count - 1])
        var rest = text.utf8[...]
        guard rest.count >= first.count + last.count, rest.starts(with: first) else { return false }
        rest = rest.dropFirst(first.count)
        guard rest.suffix(last.count).elementsEqual(last) else { return false }
        rest = rest.dropLast(last.count)
        // The first place of each piece leaves the most for those behind it.
        for piece in pieces[1..<(pieces.count - 1)] where !piece.isEmpty {
            while !rest.starts(with: piece) {
                guard rest.popFirst() != nil else { return false }
            }
            rest = rest.dropFirst(piece.count)
        }
        return true
    }

    /// Whether both were written the same way.
    public static func == (lhs: TextPattern, rhs: TextPattern) -> Bool {
        lhs.description == rhs.description
    }

    /// Of the text.
    public func hash(into hasher: inout Hasher) { hasher.combine(description) }
}

extension TextPattern: Codable {
    /// A string.
    public init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(String.self))
    }

    /// A string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
