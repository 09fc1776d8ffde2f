/// Finds the shape of a type by decoding it, and noting what it asks for.
///
/// Where the defaults have a value, the type gets it; where they have none, as for an optional that
/// is nil, it gets a made-up one, so that it asks for the rest.
enum ConfigProbe {
    /// Types that hold themselves would go on for ever.
    private static let depthMax = 16

    static func shape<Value: Decodable>(
        of type: Value.Type, node: JSONValue?, depth: Int
    ) -> ConfigShape {
        if let scalar = scalar(of: type) { return .scalar(scalar, isStrict: true) }
        guard depth < depthMax else { return .open }
        if let container = type as? any ProbedContainer.Type {
            return container.shape(node: node, depth: depth + 1)
        }
        // A type that codes itself as a single value: an enum of strings, a URL.
        switch node {
        case .boolean: return .scalar(.boolean, isStrict: false)
        case .integer, .unsigned: return .scalar(.anyInteger, isStrict: false)
        case .number: return .scalar(.number, isStrict: false)
        case .string: return .scalar(.text, isStrict: false)
        case .array: return .array(.open)
        case .object, .null, nil: break
        }
        let notes = ProbeNotes()
        let probe = ProbeDecoder(node: node, notes: notes, depth: depth, codingPath: [])
        let isComplete = (try? Value(from: probe)) != nil
        return notes.shape(isComplete: isComplete)
    }

    fileprivate static func scalar(of type: Any.Type) -> ConfigShape.Scalar? {
        switch type {
        case is Bool.Type: .boolean
        case is String.Type: .text
        case is Double.Type, is Float.Type: .number
        case let integer as any FixedWidthInteger.Type: integer.range
        case is Duration.Type: .duration
        default: nil
        }
    }

    /// A value for a type to go on with.
    fileprivate static func value<Value: Decodable>(
        of type: Value.Type, node: JSONValue?, depth: Int, at path: [any CodingKey]
    ) throws -> Value {
        if let node { return try node.decode(type) }
        guard depth < depthMax else {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(codingPath: path, debugDescription: "too deep"))
        }
        let made: Any? =
            switch type {
            case is Bool.Type: false
            case is String.Type: ""
            case is Double.Type: 0.0
            case is Float.Type: Float(0)
            case is Duration.Type: Duration.zero
            case let integer as any FixedWidthInteger.Type: integer.zero
            default: nil
            }
        if let made = made as? Value { return made }
        let probe = ProbeDecoder(
            node: nil, notes: ProbeNotes(), depth: depth + 1, codingPath: path)
        return try Value(from: probe)
    }
}

extension FixedWidthInteger {
    fileprivate static var zero: any FixedWidthInteger { Self(0) }

    fileprivate static var range: ConfigShape.Scalar {
        .integer(least: Int64(clamping: min), greatest: UInt64(clamping: max))
    }
}

/// A collection or optional: its shape is known by its type.
private protocol ProbedContainer {
    static func shape(node: JSONValue?, depth: Int) -> ConfigShape
}

extension Array: ProbedContainer where Element: Decodable {
    fileprivate static func shape(node: JSONValue?, depth: Int) -> ConfigShape {
        .array(elementShape(of: Element.self, node: node, depth: depth))
    }
}

extension Set: ProbedContainer where Element: Decodable {
    fileprivate static func shape(node: JSONValue?, depth: Int) -> ConfigShape {
        .array(elementShape(of: Element.self, node: node, depth: depth))
    }
}

extension Optional: ProbedContainer where Wrapped: Decodable {
    fileprivate static func shape(node: JSONValue?, depth: Int) -> ConfigShape {
        ConfigProbe.shape(of: Wrapped.self, node: node == .null ? nil : node, depth: depth)
    }
}

extension Dictionary: ProbedContainer where Key: Decodable, Value: Decodable {
    fileprivate static func shape(node: JSONValue?, depth: Int) -> ConfigShape {
        // Other keys are coded as a list of keys and values.
        guard Key.self is String.Type || Key.self is Int.Type else { return .open }
        // An element alone may lack optional keys: the made-up one asks for all.
        return .map(ConfigProbe.shape(of: Value.self, node: nil, depth: depth))
    }
}

private func elementShape<Element: Decodable>(
    of type: Element.Type, node: JSONValue?, depth: Int
) -> ConfigShape {
    if case .array(let elements) = node, let first = elements.first {
        return ConfigProbe.shape(of: type, node: first, depth: depth)
    }
    return ConfigProbe.shape(of: type, node: nil, depth: depth)
}

/// What one value of a type asked for. Used in one place at a time, and by one thread.
private final class ProbeNotes {
    private var keys: [String: ConfigShape] = [:]
    private var nested: [String: ProbeNotes] = [:]
    private var single: ConfigShape?
    private var isKeyed = false
    private var isList = false

    func keyed() { isKeyed = true }

    func list() { isList = true }

    func note(_ key: String, _ shape: ConfigShape) { keys[key] = shape }

    func note(single shape: ConfigShape) { single = shape }

    func notes(for key: String) -> ProbeNotes {
        let notes = nested[key] ?? ProbeNotes()
        nested[key] = notes
        return notes
    }

    func shape(isComplete: Bool) -> ConfigShape {
        if let single {
            // It codes itself, and may take more than what it was asked with.
            guard case .scalar(let scalar, _) = single else { return single }
            return .scalar(scalar, isStrict: false)
        }
        if isKeyed {
            var all = keys
            for (key, notes) in nested { all[key] = notes.shape(isComplete: isComplete) }
            return .object(all, isComplete: isComplete)
        }
        return isList ? .array(.open) : .open
    }
}

private struct ProbeDecoder: Decoder {
    let node: JSONValue?
    let notes: ProbeNotes
    let depth: Int
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        notes.keyed()
        return KeyedDecodingContainer(
            ProbeKeyed(node: node, notes: notes, depth: depth, codingPath: codingPath))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        notes.list()
        return ProbeList(codingPath: codingPath)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer {
        ProbeSingle(node: node, notes: notes, depth: depth, codingPath: codingPath)
    }
}

private struct ProbeKeyed<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let node: JSONValue?
    let notes: ProbeNotes
    let depth: Int
    let codingPath: [any CodingKey]

    private var values: [String: JSONValue] {
        guard case .object(let values) = node else { return [:] }
        return values
    }

    var allKeys: [Key] { values.keys.sorted().compactMap(Key.init(stringValue:)) }

    // An optional that is nil isn't there; a made-up value has everything.
    func contains(_ key: Key) -> Bool { node == nil || values[key.stringValue] != nil }

    func decodeNil(forKey key: Key) throws -> Bool {
        guard let value = values[key.stringValue] else { return true }
        return value == .null
    }

    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
        let value = values[key.stringValue]
        notes.note(key.stringValue, ConfigProbe.shape(of: type, node: value, depth: depth + 1))
        return try ConfigProbe.value(
            of: type, node: value, depth: depth + 1, at: codingPath + [key])
    }

    func decodeIfPresent<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T? {
        let value = values[key.stringValue]
        notes.note(key.stringValue, ConfigProbe.shape(of: type, node: value, depth: depth + 1))
        guard let value, value != .null else { return nil }
        return try value.decode(type)
    }

    // The standard library's own types have requirements of their own.
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try scalar(key) }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try scalar(key) }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try scalar(key) }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try scalar(key) }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try scalar(key) }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try scalar(key) }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try scalar(key) }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try scalar(key) }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try scalar(key) }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try scalar(key) }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try scalar(key) }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try scalar(key) }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try scalar(key) }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try scalar(key) }

    func decodeIfPresent(_ type: Bool.Type, forKey key: Key) throws -> Bool? { try optional(key) }
    func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? {
        try optional(key)
    }
    func decodeIfPresent(_ type: Double.Type, forKey key: Key) throws -> Double? {
        try optional(key)
    }
    func decodeIfPresent(_ type: Float.Type, forKey key: Key) throws -> Float? { try optional(key) }
    func decodeIfPresent(_ type: Int.Type, forKey key: Key) throws -> Int? { try optional(key) }
    func decodeIfPresent(_ type: Int8.Type, forKey key: Key) throws -> Int8? { try optional(key) }
    func decodeIfPresent(_ type: Int16.Type, forKey key: Key) throws -> Int16? { try optional(key) }
    func decodeIfPresent(_ type: Int32.Type, forKey key: Key) throws -> Int32? { try optional(key) }
    func decodeIfPresent(_ type: Int64.Type, forKey key: Key) throws -> Int64? { try optional(key) }
    func decodeIfPresent(_ type: UInt.Type, forKey key: Key) throws -> UInt? { try optional(key) }
    func decodeIfPresent(_ type: UInt8.Type, forKey key: Key) throws -> UInt8? { try optional(key) }
    func decodeIfPresent(_ type: UInt16.Type, forKey key: Key) throws -> UInt16? {
        try optional(key)
    }
    func decodeIfPresent(_ type: UInt32.Type, forKey key: Key) throws -> UInt32? {
        try optional(key)
    }
    func decodeIfPresent(_ type: UInt64.Type, forKey key: Key) throws -> UInt64? {
        try optional(key)
    }

    private func scalar<T: Decodable>(_ key: Key) throws -> T {
        let value = values[key.stringValue]
        notes.note(key.stringValue, ConfigProbe.shape(of: T.self, node: value, depth: depth + 1))
        return try ConfigProbe.value(
            of: T.self, node: value, depth: depth + 1, at: codingPath + [key])
    }

    private func optional<T: Decodable>(_ key: Key) throws -> T? {
        let value = values[key.stringValue]
        notes.note(key.stringValue, ConfigProbe.shape(of: T.self, node: value, depth: depth + 1))
        guard let value, value != .null else { return nil }
        return try value.decode(T.self)
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> {
        let nested = notes.notes(for: key.stringValue)
        nested.keyed()
        return KeyedDecodingContainer(
            ProbeKeyed<Nested>(
                node: node == nil ? nil : values[key.stringValue] ?? .null, notes: nested,
                depth: depth + 1, codingPath: codingPath + [key]))
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        notes.note(key.stringValue, .array(.open))
        return ProbeList(codingPath: codingPath + [key])
    }

    func superDecoder() throws -> any Decoder {
        ProbeDecoder(node: node, notes: notes, depth: depth + 1, codingPath: codingPath)
    }

    func superDecoder(forKey key: Key) throws -> any Decoder {
        ProbeDecoder(
            node: values[key.stringValue], notes: notes.notes(for: key.stringValue),
            depth: depth + 1, codingPath: codingPath + [key])
    }
}

/// A list without elements.
private struct ProbeList: UnkeyedDecodingContainer {
    let codingPath: [any CodingKey]
    var count: Int? { 0 }
    var isAtEnd: Bool { true }
    var currentIndex: Int { 0 }

    private var end: DecodingError {
        .valueNotFound(
            Any.self, DecodingError.Context(codingPath: codingPath, debugDescription: "at the end"))
    }

    mutating func decodeNil() throws -> Bool { throw end }
    mutating func decode<T: Decodable>(_ type: T.Type) throws -> T { throw end }
    mutating func nestedContainer<Key: CodingKey>(
        keyedBy type: Key.Type
    ) throws -> KeyedDecodingContainer<Key> { throw end }
    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { throw end }
    mutating func superDecoder() throws -> any Decoder { throw end }
}

private struct ProbeSingle: SingleValueDecodingContainer {
    let node: JSONValue?
    let notes: ProbeNotes
    let depth: Int
    let codingPath: [any CodingKey]

    func decodeNil() -> Bool { node == .null }

    func decode<T: Decodable>(_ type: T.Type) throws -> T {
        notes.note(single: ConfigProbe.shape(of: type, node: node, depth: depth + 1))
        return try ConfigProbe.value(of: type, node: node, depth: depth + 1, at: codingPath)
    }
}
