/// JSON of structs by reflection: slow, and independent of all codecs that read it.
struct PlainJSON {
    struct Style {
        /// Fields that are nil are there, as null.
        var hasNulls = false
        var isSorted = false
        /// Slashes are escaped, and what has two UTF-16 units.
        var escapesMore = false

        static let plain = Style()
        static let feed = Style(hasNulls: true, escapesMore: true)
        static let sortedFeed = Style(hasNulls: true, isSorted: true, escapesMore: true)
    }

    private let style: Style
    private var text = ""

    static func bytes(of value: Any, _ style: Style) -> [UInt8] {
        var writer = PlainJSON(style: style)
        writer.add(value)
        return Array(writer.text.utf8)
    }

    private init(style: Style) { self.style = style }

    private mutating func add(_ value: Any) {
        switch value {
        case let value as String: addText(value)
        case let value as Bool: text += value ? "true" : "false"
        case let value as Int: text += "\(value)"
        case let value as Double: text += "\(value)"
        case let value as Retweet: add(value.status)
        default: addParts(of: value)
        }
    }

    private mutating func addParts(of value: Any) {
        let mirror = Mirror(reflecting: value)
        switch mirror.displayStyle {
        case .optional:
            if let child = mirror.children.first { add(child.value) } else { text += "null" }
        case .collection:
            addList("[", mirror.children.map { (nil, $0.value) }, "]")
        default:
            var fields = mirror.children.filter { style.hasNulls || !Self.isNil($0.value) }
            if style.isSorted { fields.sort { ($0.label ?? "") < ($1.label ?? "") } }
            addList("{", fields, "}")
        }
    }

    private mutating func addList(_ opening: String, _ parts: [Mirror.Child], _ closing: String) {
        text += opening
        for (index, part) in parts.enumerated() {
            if index > 0 { text += "," }
            if let label = part.label {
                addText(label)
                text += ":"
            }
            add(part.value)
        }
        text += closing
    }

    private static func isNil(_ value: Any) -> Bool {
        let mirror = Mirror(reflecting: value)
        return mirror.displayStyle == .optional && mirror.children.isEmpty
    }

    private mutating func addText(_ value: String) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "/" where style.escapesMore: text += "\\/"
            case _ where style.escapesMore && scalar.value > 0xFFFF:
                for unit in UTF16.encode(scalar) ?? .init() {
                    text += "\\u" + String(unit, radix: 16)
                }
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
