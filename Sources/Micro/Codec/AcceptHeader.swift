/// What an Accept header allows, by RFC 9110.
struct AcceptHeader: Sendable, Hashable {
    struct Range: Sendable, Hashable {
        /// "*" stands for any.
        var type: ContentType
        /// In thousandths: 0 refuses, 1000 is the most.
        var weight: Int
    }

    /// More are no use and would cost time for every request.
    private static let rangesMax = 64

    private(set) var ranges: [Range] = []

    /// nil for what isn't one, for more than 64 ranges and for more than 4096 bytes.
    init?(_ text: String) {
        guard text.utf8.count <= 4096 else { return nil }
        var fields = HeaderFields(text)
        while true {
            fields.skipBlanks()
            if fields.isAtEnd { return }
            // RFC 9110, 5.6.1: empty elements of a list are passed over.
            if fields.skip(UInt8(ascii: ",")) { continue }
            guard let range = fields.range(), ranges.count < Self.rangesMax else { return nil }
            ranges.append(range)
            fields.skipBlanks()
            guard fields.isAtEnd || fields.skip(UInt8(ascii: ",")) else { return nil }
        }
    }

    /// The weight of a type where it is named itself; 0 when it isn't.
    func weight(naming type: ContentType) -> Int {
        ranges.filter { $0.type.essence == type.essence }.map(\.weight).max() ?? 0
    }

    /// The weight of a codec: that of the most specific range that covers it; 0 when none does.
    func weight(of codec: ContentType) -> Int {
        var best = (specificity: 0, weight: 0)
        for range in ranges {
            let specificity = range.type.specificity(for: codec)
            if specificity > best.specificity { best = (specificity, range.weight) }
        }
        return best.weight
    }
}

extension ContentType {
    /// How precisely this range names `codec`: 0 not at all, 1 "*/*", 2 "text/*", 3 by its suffix,
    /// 4 by its name.
    fileprivate func specificity(for codec: ContentType) -> Int {
        if let charset = self[parameter: "charset"], !charset.isUTF8Charset { return 0 }
        if type == "*" { return 1 }
        if type == codec.type {
            if subtype == "*" { return 2 }
            if subtype == codec.subtype { return 4 }
        }
        return type == codec.type && suffix == codec.subtype ? 3 : 0
    }
}

extension String {
    /// Whether text in this charset is valid UTF-8 as it is.
    var isUTF8Charset: Bool {
        switch lowercased() {
        case "utf-8", "utf8", "us-ascii", "ascii": true
        default: false
        }
    }
}
