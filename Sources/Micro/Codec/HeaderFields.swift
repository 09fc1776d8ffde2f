/// Reads the grammar of RFC 9110 that content types are made of: tokens, quoted strings,
/// parameters.
struct HeaderFields {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    var isAtEnd: Bool { offset == bytes.count }

    private var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    mutating func skip(_ byte: UInt8) -> Bool {
        guard current == byte else { return false }
        offset += 1
        return true
    }

    mutating func skipBlanks() {
        while let byte = current, byte == 0x20 || byte == 0x09 { offset += 1 }
    }

    /// type "/" subtype parameters
    mutating func mediaType() -> ContentType? {
        guard let (type, subtype) = essence(), let parameters = parameters() else { return nil }
        return ContentType(type, subtype, parameters: parameters)
    }

    /// A media range with its weight. "*" stands alone or behind a type.
    mutating func range() -> AcceptHeader.Range? {
        guard let (type, subtype) = essence(), type != "*" || subtype == "*",
            var parameters = parameters()
        else { return nil }
        var weight = 1000
        if let index = parameters.firstIndex(where: { $0.name == "q" }) {
            guard let given = Self.weight(parameters[index].value) else { return nil }
            weight = given
            // What follows the weight is an extension, not a parameter of the type.
            parameters.removeSubrange(index...)
        }
        return .init(type: ContentType(type, subtype, parameters: parameters), weight: weight)
    }

    private mutating func essence() -> (type: String, subtype: String)? {
        guard let type = token(), skip(UInt8(ascii: "/")), let subtype = token() else { return nil }
        return (type.lowercased(), subtype.lowercased())
    }

    /// `*( OWS ";" OWS [ token "=" ( token / quoted-string ) ] )`
    private mutating func parameters() -> [ContentType.Parameter]? {
        var parameters: [ContentType.Parameter] = []
        while true {
            let start = offset
            skipBlanks()
            guard skip(UInt8(ascii: ";")) else {
                offset = start
                return parameters
            }
            skipBlanks()
            guard let name = token() else { continue }
            guard skip(UInt8(ascii: "=")), let value = quotedString() ?? token() else { return nil }
            parameters.append(.init(name: name.lowercased(), value: value))
        }
    }

    private mutating func token() -> String? {
        let start = offset
        while let byte = current, Self.isTokenByte(byte) { offset += 1 }
        return start == offset ? nil : String(validating: bytes[start..<offset], as: UTF8.self)
    }

    /// nil, and nothing is consumed, when there is no complete quoted string.
    private mutating func quotedString() -> String? {
        let start = offset
        guard skip(UInt8(ascii: "\"")) else { return nil }
        var content: [UInt8] = []
        while let byte = current {
            offset += 1
            switch byte {
            case UInt8(ascii: "\""):
                if let text = String(validating: content, as: UTF8.self) { return text }
                offset = start
                return nil
            case UInt8(ascii: "\\"):
                guard let escaped = current, Self.isTextByte(escaped) else {
                    offset = start
                    return nil
                }
                offset += 1
                content.append(escaped)
            case _ where Self.isTextByte(byte): content.append(byte)
            default:
                offset = start
                return nil
            }
        }
        offset = start
        return nil
    }

    /// `0 [ "." 0*3DIGIT ]` or `1 [ "." 0*3("0") ]`, in thousandths.
    private static func weight(_ text: String) -> Int? {
        let bytes = Array(text.utf8)
        guard let first = bytes.first, first == UInt8(ascii: "0") || first == UInt8(ascii: "1"),
            bytes.count <= 5, bytes.count < 2 || bytes[1] == UInt8(ascii: ".")
        else { return nil }
        var weight = Int(first - UInt8(ascii: "0")) * 1000
        var unit = 100
        for byte in bytes.dropFirst(2) {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            weight += Int(byte - UInt8(ascii: "0")) * unit
            unit /= 10
        }
        return weight <= 1000 ? weight : nil
    }

    /// A parameter's value as it may stand in a header.
    static func quotedIfNeeded(_ value: String) -> String {
        if !value.isEmpty, value.utf8.allSatisfy(isTokenByte) { return value }
        var quoted = "\""
        for scalar in value.unicodeScalars {
            if scalar == "\"" || scalar == "\\" { quoted += "\\" }
            quoted.unicodeScalars.append(scalar)
        }
        return quoted + "\""
    }

    private static func isTextByte(_ byte: UInt8) -> Bool {
        byte == 0x09 || byte >= 0x20 && byte != 0x7F
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"),
            UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"),
            UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^"), UInt8(ascii: "_"),
            UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
