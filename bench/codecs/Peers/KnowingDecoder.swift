/// A decoder that knows one order, whatever it is asked for. A class, as it is passed on in many
/// existentials.
final class KnowingDecoder: Decoder {
    let order: Order

    init(order: Order) { self.order = order }

    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        KeyedDecodingContainer(Fields(decoder: self))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer { Tags(decoder: self) }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { throw unknown }

    fileprivate var unknown: DecodingError {
        DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "it is not known"))
    }
}

extension KnowingDecoder {
    /// Of the order. A generic container, as that of any decoder.
    fileprivate struct Fields<Key: CodingKey>: KeyedDecodingContainerProtocol {
        let decoder: KnowingDecoder

        var codingPath: [any CodingKey] { [] }
        var allKeys: [Key] { [] }

        func contains(_ key: Key) -> Bool { true }
        func decodeNil(forKey key: Key) throws -> Bool { false }
        func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { decoder.order.active }
        func decode(_ type: String.Type, forKey key: Key) throws -> String { decoder.order.name }
        func decode(_ type: Double.Type, forKey key: Key) throws -> Double { decoder.order.price }
        func decode(_ type: Float.Type, forKey key: Key) throws -> Float { throw decoder.unknown }
        func decode(_ type: Int.Type, forKey key: Key) throws -> Int { decoder.order.id }
        func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { throw decoder.unknown }
        func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { throw decoder.unknown }
        func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { throw decoder.unknown }
        func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { throw decoder.unknown }
        func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { throw decoder.unknown }
        func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { throw decoder.unknown }
        func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { throw decoder.unknown }
        func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { throw decoder.unknown }
        func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { throw decoder.unknown }

        func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
            try T(from: decoder)
        }

        func nestedContainer<NestedKey>(
            keyedBy type: NestedKey.Type, forKey key: Key
        ) throws -> KeyedDecodingContainer<NestedKey> { throw decoder.unknown }

        func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
            throw decoder.unknown
        }

        func superDecoder() throws -> any Decoder { throw decoder.unknown }
        func superDecoder(forKey key: Key) throws -> any Decoder { throw decoder.unknown }
    }
}

extension KnowingDecoder {
    fileprivate struct Tags: UnkeyedDecodingContainer {
        let decoder: KnowingDecoder
        private(set) var currentIndex = 0

        init(decoder: KnowingDecoder) { self.decoder = decoder }

        var codingPath: [any CodingKey] { [] }
        var count: Int? { decoder.order.tags.count }
        var isAtEnd: Bool { currentIndex == decoder.order.tags.count }

        mutating func decodeNil() throws -> Bool { false }

        mutating func decode(_ type: String.Type) throws -> String {
            defer { currentIndex += 1 }
            return decoder.order.tags[currentIndex]
        }

        mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
            // As decoders do that have no need of a container for a text.
            guard let tag = try decode(String.self) as? T else { throw decoder.unknown }
            return tag
        }

        mutating func nestedContainer<NestedKey>(
            keyedBy type: NestedKey.Type
        ) throws -> KeyedDecodingContainer<NestedKey> { throw decoder.unknown }

        mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
            throw decoder.unknown
        }

        mutating func superDecoder() throws -> any Decoder { throw decoder.unknown }
    }
}

extension KnowingDecoder.Tags {
    mutating func decode(_ type: Bool.Type) throws -> Bool { throw decoder.unknown }
    mutating func decode(_ type: Double.Type) throws -> Double { throw decoder.unknown }
    mutating func decode(_ type: Float.Type) throws -> Float { throw decoder.unknown }
    mutating func decode(_ type: Int.Type) throws -> Int { throw decoder.unknown }
    mutating func decode(_ type: Int8.Type) throws -> Int8 { throw decoder.unknown }
    mutating func decode(_ type: Int16.Type) throws -> Int16 { throw decoder.unknown }
    mutating func decode(_ type: Int32.Type) throws -> Int32 { throw decoder.unknown }
    mutating func decode(_ type: Int64.Type) throws -> Int64 { throw decoder.unknown }
    mutating func decode(_ type: UInt.Type) throws -> UInt { throw decoder.unknown }
    mutating func decode(_ type: UInt8.Type) throws -> UInt8 { throw decoder.unknown }
    mutating func decode(_ type: UInt16.Type) throws -> UInt16 { throw decoder.unknown }
    mutating func decode(_ type: UInt32.Type) throws -> UInt32 { throw decoder.unknown }
    mutating func decode(_ type: UInt64.Type) throws -> UInt64 { throw decoder.unknown }
}
