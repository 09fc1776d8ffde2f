/// The place of a value that is being written, as a type writes itself there.
struct MessageEncoder: Encoder {
    let message: WrittenMessage
    let place: MessagePlace

    var codingPath: [any CodingKey] { message.path }
    var userInfo: [CodingUserInfoKey: Any] { message.traits.userInfo }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        message.openMap(at: place, isSorted: ObjectIdentifier(type) == dictionaryKeys)
        return KeyedEncodingContainer(MessageFields(message: message, place: place))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        message.openArray(at: place)
        return MessageElements(message: message, place: place)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { self }
}

extension MessageEncoder: SingleValueEncodingContainer {
    /// The message, whose next value goes to this place.
    private var target: WrittenMessage {
        @inline(__always) get throws {
            try message.select(place)
            return message
        }
    }

    func encodeNil() throws { try target.null() }
    func encode<T: Encodable>(_ value: T) throws { try target.encode(value, at: place) }
    func encode(_ value: Bool) throws { try target.boolean(value) }
    func encode(_ value: String) throws { try target.string(value) }
    func encode(_ value: Double) throws { try target.double(value) }
    func encode(_ value: Float) throws { try target.float(value) }
    func encode(_ value: Int) throws { try target.integer(Int64(value)) }
    func encode(_ value: Int8) throws { try target.integer(Int64(value)) }
    func encode(_ value: Int16) throws { try target.integer(Int64(value)) }
    func encode(_ value: Int32) throws { try target.integer(Int64(value)) }
    func encode(_ value: Int64) throws { try target.integer(Int64(value)) }
    func encode(_ value: UInt) throws { try target.natural(UInt64(value)) }
    func encode(_ value: UInt8) throws { try target.natural(UInt64(value)) }
    func encode(_ value: UInt16) throws { try target.natural(UInt64(value)) }
    func encode(_ value: UInt32) throws { try target.natural(UInt64(value)) }
    func encode(_ value: UInt64) throws { try target.natural(UInt64(value)) }
}

extension WrittenMessage {
    /// Writes a value at `place`, which awaits one. Types that are a value of the format are known
    /// here; others write themselves.
    func encode<T: Encodable>(_ value: T, at place: MessagePlace) throws {
        if try writeKnown(value, at: place) { return }
        try value.encode(to: MessageEncoder(message: self, place: place))
        // A type without fields, which has asked for nothing.
        if isAwaited(place) { openMap(at: place, isSorted: false) }
    }

    @inline(__always)
    private func writeKnown<T>(_ value: T, at place: MessagePlace) throws -> Bool {
        func known<Known>(_ type: Known.Type = Known.self) -> Known {
            unsafeBitCast(value, to: type)
        }
        if T.self == String.self {
            try string(known())
        } else if T.self == Int.self {
            try integer(Int64(known(Int.self)))
        } else if T.self == Double.self {
            try double(known())
        } else if T.self == Bool.self {
            try boolean(known())
        } else if T.self == [String].self {
            try list(known([String].self), at: place, string)
        } else if T.self == [Int].self {
            try list(known([Int].self), at: place) { try integer(Int64($0)) }
        } else if T.self == [Double].self {
            try list(known([Double].self), at: place, double)
        } else if T.self == [UInt8].self {
            try bytes(known([UInt8].self), at: place)
        } else if T.self == Int8.self {
            try integer(Int64(known(Int8.self)))
        } else if T.self == Int16.self {
            try integer(Int64(known(Int16.self)))
        } else if T.self == Int32.self {
            try integer(Int64(known(Int32.self)))
        } else if T.self == Int64.self {
            try integer(Int64(known(Int64.self)))
        } else if T.self == UInt.self {
            try natural(UInt64(known(UInt.self)))
        } else if T.self == UInt8.self {
            try natural(UInt64(known(UInt8.self)))
        } else if T.self == UInt16.self {
            try natural(UInt64(known(UInt16.self)))
        } else if T.self == UInt32.self {
            try natural(UInt64(known(UInt32.self)))
        } else if T.self == UInt64.self {
            try natural(UInt64(known(UInt64.self)))
        } else if T.self == Float.self {
            try float(known())
        } else {
            return try writeFoundation(value)
        }
        return true
    }

    private func list<Element>(
        _ elements: [Element], at place: MessagePlace, _ write: (Element) throws -> Void
    ) throws {
        openArray(at: place)
        for element in elements {
            try self.element(in: place)
            try write(element)
        }
    }

    /// A list of numbers, or bytes where the format has them.
    func bytes(_ bytes: [UInt8], at place: MessagePlace) throws {
        if traits.hasBytes {
            try bytes.withUnsafeBytes(self.bytes)
        } else {
            try list(bytes, at: place) { try natural(UInt64($0)) }
        }
    }
}

/// The type of the keys that the standard library has for dictionaries, which it doesn't name:
/// their order is another one in each run, and messages are to be the same for the same values.
private let dictionaryKeys: ObjectIdentifier = {
    let probe = KeyTypeProbe()
    try? [String: Never]().encode(to: probe)
    return probe.found ?? ObjectIdentifier(Never.self)
}()

/// Notes the type of the keys that something is written with, and takes nothing.
private final class KeyTypeProbe: Encoder {
    var found: ObjectIdentifier?
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        found = ObjectIdentifier(type)
        return KeyedEncodingContainer(MessageFields(message: .closed, place: .max))
    }
    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        MessageElements(message: .closed, place: .max)
    }
    func singleValueContainer() -> any SingleValueEncodingContainer {
        MessageEncoder(message: .closed, place: .max)
    }
}
