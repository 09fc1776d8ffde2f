/// What travels beside a message: an ordered list of names and values.
///
/// Names are case-insensitive and stored in lower case; a name may have several values. Names that
/// end in "-bin" carry bytes, all others text. A value type: a copy is independent, and copying is
/// cheap until one of the copies is changed. Empty metadata allocates nothing.
///
/// Setters keep what they are given, right or wrong; ``validate(limits:)`` says what may not be
/// sent.
public struct Metadata: Sendable {
    /// One name with one value.
    public struct Entry: Sendable, Hashable {
        /// The value of an entry.
        public enum Value: Sendable, Hashable {
            /// Visible text, without line breaks.
            case text(String)
            /// Any bytes, for names that end in "-bin". Base64 on the wire, which is not seen here.
            case bytes([UInt8])
        }

        /// Lower case, as far as it is ASCII.
        public var name: String
        /// Text or bytes.
        public var value: Value

        /// Makes an entry. The name is turned to lower case.
        public init(name: String, value: Value) {
            self.name = name.asMetadataName
            self.value = value
        }
    }

    var entries: [Entry]

    /// Makes empty metadata.
    public init() { entries = [] }

    /// Makes metadata from entries, in their order.
    public init(_ entries: some Sequence<Entry>) { self.entries = Array(entries) }

    /// How many entries there are; a name with two values counts twice.
    public var count: Int { entries.count }

    /// Whether there are no entries.
    public var isEmpty: Bool { entries.isEmpty }

    /// The first text of `name`; nil when there is none. Setting replaces all values of the name,
    /// setting nil removes them.
    public subscript(name: String) -> String? {
        get {
            guard !entries.isEmpty else { return nil }
            let name = name.asMetadataName
            for entry in entries where entry.name == name {
                if case .text(let text) = entry.value { return text }
            }
            return nil
        }
        set { replace(name, with: newValue.map(Entry.Value.text)) }
    }

    /// The first bytes of `name`, which ends in "-bin"; nil when there are none. Setting replaces
    /// all values of the name, setting nil removes them.
    public subscript(binary name: String) -> [UInt8]? {
        get {
            guard !entries.isEmpty else { return nil }
            let name = name.asMetadataName
            for entry in entries where entry.name == name {
                if case .bytes(let bytes) = entry.value { return bytes }
            }
            return nil
        }
        set { replace(name, with: newValue.map(Entry.Value.bytes)) }
    }

    /// All texts of `name`, in their order.
    public func values(_ name: String) -> [String] {
        guard !entries.isEmpty else { return [] }
        let name = name.asMetadataName
        return entries.compactMap {
            guard $0.name == name, case .text(let text) = $0.value else { return nil }
            return text
        }
    }

    /// All bytes of `name`, which ends in "-bin", in their order.
    public func values(binary name: String) -> [[UInt8]] {
        guard !entries.isEmpty else { return [] }
        let name = name.asMetadataName
        return entries.compactMap {
            guard $0.name == name, case .bytes(let bytes) = $0.value else { return nil }
            return bytes
        }
    }

    /// Adds a text at the end; other values of the name stay.
    public mutating func append(_ name: String, _ value: String) {
        entries.append(Entry(name: name, value: .text(value)))
    }

    /// Adds bytes at the end; other values of the name stay. The name should end in "-bin".
    public mutating func append(_ name: String, bytes: [UInt8]) {
        entries.append(Entry(name: name, value: .bytes(bytes)))
    }

    /// Removes all values of `name`.
    public mutating func remove(_ name: String) {
        guard !entries.isEmpty else { return }
        let name = name.asMetadataName
        entries.removeAll { $0.name == name }
    }

    /// The first value keeps its place, the others go.
    private mutating func replace(_ name: String, with value: Entry.Value?) {
        guard let value else { return remove(name) }
        let name = name.asMetadataName
        guard let first = entries.firstIndex(where: { $0.name == name }) else {
            return entries.append(Entry(name: name, value: value))
        }
        entries[first].value = value
        let rest = entries.index(after: first)
        guard entries[rest...].contains(where: { $0.name == name }) else { return }
        entries = entries[..<rest] + entries[rest...].filter { $0.name != name }
    }
}

extension Metadata: Hashable, Sequence, ExpressibleByDictionaryLiteral {
    /// The entries, in their order.
    public func makeIterator() -> IndexingIterator<[Entry]> { entries.makeIterator() }

    /// How many entries there are.
    public var underestimatedCount: Int { entries.count }

    /// Texts by name; a name may be repeated.
    public init(dictionaryLiteral elements: (String, String)...) {
        entries = elements.map { Entry(name: $0, value: .text($1)) }
    }
}

extension String {
    /// Lower case in ASCII, without a copy where it is already.
    fileprivate var asMetadataName: String {
        utf8.contains { $0 >= 0x41 && $0 <= 0x5A } ? asciiLowercased : self
    }

    /// Only ASCII: `lowercased()` would turn the Kelvin sign into a "k".
    private var asciiLowercased: String {
        String(
            String.UnicodeScalarView(
                unicodeScalars.lazy.map {
                    ("A"..."Z").contains($0) ? Unicode.Scalar(UInt8($0.value) | 0x20) : $0
                }))
    }
}
