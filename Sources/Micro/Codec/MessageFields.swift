/// An object that is being written, as a type adds its fields.
struct MessageFields<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let message: WrittenMessage
    let place: MessagePlace

    var codingPath: [any CodingKey] { message.path }

    func encodeNil(forKey key: Key) throws {
        try message.key(key, in: place)
        try message.null()
    }

    func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
        let inside = try message.key(key, in: place)
        try message.encode(value, at: inside)
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> {
        encoder(key).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        encoder(key).unkeyedContainer()
    }

    func superEncoder() -> any Encoder { encoder(PathKey.name("super")) }
    func superEncoder(forKey key: Key) -> any Encoder { encoder(key) }

    // What can't throw leaves its error with the writer, where the end finds it.
    private func encoder(_ key: some CodingKey) -> MessageEncoder {
        MessageEncoder(message: message, place: message.begin(key, in: place))
    }
}

// What `Codable` writes by type: `encode` of another type would come here through a witness for all
// types, and compare it with each of these.
extension MessageFields {
    func encode(_ value: Bool, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.boolean(value)
    }
    func encode(_ value: String, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.string(value)
    }
    func encode(_ value: Double, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.double(value)
    }
    func encode(_ value: Float, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.float(value)
    }
    func encode(_ value: Int, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.integer(Int64(value))
    }
    func encode(_ value: Int8, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.integer(Int64(value))
    }
    func encode(_ value: Int16, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.integer(Int64(value))
    }
    func encode(_ value: Int32, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.integer(Int64(value))
    }
    func encode(_ value: Int64, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.integer(Int64(value))
    }
    func encode(_ value: UInt, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.natural(UInt64(value))
    }
    func encode(_ value: UInt8, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.natural(UInt64(value))
    }
    func encode(_ value: UInt16, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.natural(UInt64(value))
    }
    func encode(_ value: UInt32, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.natural(UInt64(value))
    }
    func encode(_ value: UInt64, forKey key: Key) throws {
        try message.key(key, in: place)
        try message.natural(UInt64(value))
    }
}
