/// A list that is being written, as a type adds its elements.
struct MessageElements: UnkeyedEncodingContainer {
    let message: WrittenMessage
    let place: MessagePlace

    var codingPath: [any CodingKey] { message.path }
    var count: Int { message.count(at: place) }

    func encodeNil() throws {
        try message.element(in: place)
        try message.null()
    }

    func encode<T: Encodable>(_ value: T) throws {
        let inside = try message.element(in: place)
        try message.encode(value, at: inside)
    }

    func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        encoder.container(keyedBy: type)
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { encoder.unkeyedContainer() }
    func superEncoder() -> any Encoder { encoder }

    private var encoder: MessageEncoder {
        MessageEncoder(message: message, place: message.beginElement(in: place))
    }
}

extension MessageElements {
    func encode(_ value: Bool) throws {
        try message.element(in: place)
        try message.boolean(value)
    }
    func encode(_ value: String) throws {
        try message.element(in: place)
        try message.string(value)
    }
    func encode(_ value: Double) throws {
        try message.element(in: place)
        try message.double(value)
    }
    func encode(_ value: Float) throws {
        try message.element(in: place)
        try message.float(value)
    }
    func encode(_ value: Int) throws {
        try message.element(in: place)
        try message.integer(Int64(value))
    }
    func encode(_ value: Int8) throws {
        try message.element(in: place)
        try message.integer(Int64(value))
    }
    func encode(_ value: Int16) throws {
        try message.element(in: place)
        try message.integer(Int64(value))
    }
    func encode(_ value: Int32) throws {
        try message.element(in: place)
        try message.integer(Int64(value))
    }
    func encode(_ value: Int64) throws {
        try message.element(in: place)
        try message.integer(Int64(value))
    }
    func encode(_ value: UInt) throws {
        try message.element(in: place)
        try message.natural(UInt64(value))
    }
    func encode(_ value: UInt8) throws {
        try message.element(in: place)
        try message.natural(UInt64(value))
    }
    func encode(_ value: UInt16) throws {
        try message.element(in: place)
        try message.natural(UInt64(value))
    }
    func encode(_ value: UInt32) throws {
        try message.element(in: place)
        try message.natural(UInt64(value))
    }
    func encode(_ value: UInt64) throws {
        try message.element(in: place)
        try message.natural(UInt64(value))
    }
}
