/// The W3C `tracestate`: at most 32 members, the latest first.
struct TraceState: Sendable, Hashable, CustomStringConvertible {
    struct Member: Sendable, Hashable {
        var key: String
        var value: String
    }

    private static let membersMax = 32
    /// What everybody must pass on; longer ones are cut by whole members.
    private static let bytesMax = 512

    private(set) var members: [Member] = []

    /// Without members.
    init() {}

    /// Parses the header; several headers are joined with commas before. nil for what isn't one:
    /// then all of it is dropped, as the standard wants it.
    init?(_ text: String) {
        for element in text.split(separator: ",") {
            let element = element.trimmingBlanks
            guard !element.isEmpty else { continue }
            guard let equals = element.firstIndex(of: "=") else { return nil }
            let member = Member(
                key: String(element[..<equals]),
                value: String(element[element.index(after: equals)...]))
            guard Self.isKey(member.key), Self.isValue(member.value), self[member.key] == nil,
                members.count < Self.membersMax
            else { return nil }
            members.append(member)
        }
    }

    var isEmpty: Bool { members.isEmpty }

    /// The value of a key. Setting moves the member to the front, setting nil removes it; what is
    /// no valid member is not taken.
    subscript(key: String) -> String? {
        get { members.first { $0.key == key }?.value }
        set {
            guard let value = newValue else { return members.removeAll { $0.key == key } }
            guard Self.isKey(key), Self.isValue(value) else { return }
            members.removeAll { $0.key == key }
            members.insert(Member(key: key, value: value), at: 0)
            members.removeLast(max(0, members.count - Self.membersMax))
        }
    }

    /// The header: at most 512 bytes. Members over 128 bytes go first, then those at the end.
    var description: String {
        var texts = members.map { "\($0.key)=\($0.value)" }
        var size = texts.reduce(0) { $0 + $1.utf8.count + 1 } - 1
        while size > Self.bytesMax, !texts.isEmpty {
            let index =
                texts.lastIndex { $0.utf8.count > 128 } ?? texts.index(before: texts.endIndex)
            size -= texts.remove(at: index).utf8.count + 1
        }
        return texts.joined(separator: ",")
    }

    private static func isKey(_ key: String) -> Bool {
        guard let first = key.utf8.first, key.utf8.count <= 256 else { return false }
        return first.isLowerAlphanumeric
            && key.utf8.allSatisfy { $0.isLowerAlphanumeric || keyMarks.contains($0) }
    }

    private static let keyMarks = Array("_-*/@".utf8)

    private static func isValue(_ value: String) -> Bool {
        guard let last = value.utf8.last, last != 0x20, value.utf8.count <= 256 else {
            return false
        }
        return value.utf8.allSatisfy {
            0x20...0x7E ~= $0 && $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "=")
        }
    }
}

extension Substring {
    /// Without blanks at both ends.
    fileprivate var trimmingBlanks: Substring {
        let isText = { (character: Character) in character != " " && character != "\t" }
        guard let first = firstIndex(where: isText), let last = lastIndex(where: isText) else {
            return ""
        }
        return self[first...last]
    }
}

extension UInt8 {
    fileprivate var isLowerAlphanumeric: Bool {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"): true
        default: false
        }
    }
}
