internal import CMicroCore

/// A map of a document, as a type asks for its fields.
struct DocumentFields<Key: CodingKey>: MapFields {
    let document: ReadDocument
    let map: ValuePlace

    var codingPath: [any CodingKey] { document.path(to: map) }
    var allKeys: [Key] { document.keys(of: map) }

    func contains(_ key: Key) -> Bool { document.find(key, in: map) != nil }

    func decodeNil(forKey key: Key) throws -> Bool { try document.isNull(place(key)) }

    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
        try document.decode(type, at: place(key))
    }

    func decodeIfPresent<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T? {
        guard let at = try presentPlace(key) else { return nil }
        return try document.decode(type, at: at)
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> {
        try DocumentDecoder(document: document, at: place(key)).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try DocumentDecoder(document: document, at: place(key)).unkeyedContainer()
    }

    /// Of the field "super"; null when there is none, as `Codable` has it.
    func superDecoder() throws -> any Decoder {
        guard let at = document.find(PathKey.name("super"), in: map) else {
            throw document.missing(PathKey.name("super"), map)
        }
        return DocumentDecoder(document: document, at: at)
    }

    func superDecoder(forKey key: Key) throws -> any Decoder {
        DocumentDecoder(document: document, at: try place(key))
    }

    @inline(__always)
    private func place(_ key: Key) throws -> ValuePlace {
        guard let at = document.find(key, in: map) else { throw document.missing(key, map) }
        return at
    }

    /// nil: not there, or null.
    @inline(__always)
    private func presentPlace(_ key: Key) throws -> ValuePlace? {
        guard let at = document.find(key, in: map), try !document.isNull(at) else { return nil }
        return at
    }
}

/// Makes the containers of one type of keys.
class FieldsMaker<Key: CodingKey> {
    func container(_ document: ReadDocument, _ map: ValuePlace) -> KeyedDecodingContainer<Key> {
        KeyedDecodingContainer(DocumentFields(document: document, map: map))
    }
}

/// The same with the metadata at hand that the runtime would look for each time, which takes longer
/// than to read two fields: an object knows its own.
private final class KnowingFieldsMaker<Fields: MapFields>: FieldsMaker<Fields.Key> {
    override func container(
        _ document: ReadDocument, _ map: ValuePlace
    ) -> KeyedDecodingContainer<Fields.Key> {
        KeyedDecodingContainer(Fields(document: document, map: map))
    }
}

/// ``DocumentFields``, whatever its keys are.
protocol MapFields: KeyedDecodingContainerProtocol {
    init(document: ReadDocument, map: ValuePlace)
}

extension ReadDocument {
    /// The fields of the map at `map`.
    func fields<Key: CodingKey>(
        keyedBy type: Key.Type, of map: ValuePlace
    ) -> KeyedDecodingContainer<Key> {
        let maker = fieldsMakers.find(type) { _ in KnowingFieldsMaker<DocumentFields<Key>>() }
        // The one of this type of keys.
        return unsafeDowncast(maker, to: FieldsMaker<Key>.self).container(self, map)
    }
}

// What `Codable` asks for by type: `decode` of another type would come here through a witness for
// all types, and compare it with each of these.
extension DocumentFields {
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool {
        try document.boolean(place(key))
    }
    func decode(_ type: String.Type, forKey key: Key) throws -> String {
        try document.string(place(key))
    }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double {
        try document.double(place(key))
    }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float {
        try document.float(place(key))
    }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int {
        try document.integer(place(key))
    }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 {
        try document.integer(place(key))
    }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 {
        try document.integer(place(key))
    }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 {
        try document.integer(place(key))
    }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 {
        try document.integer(place(key))
    }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt {
        try document.integer(place(key))
    }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 {
        try document.integer(place(key))
    }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 {
        try document.integer(place(key))
    }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 {
        try document.integer(place(key))
    }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 {
        try document.integer(place(key))
    }

    func decodeIfPresent(_ type: Bool.Type, forKey key: Key) throws -> Bool? {
        try presentPlace(key).map(document.boolean)
    }
    func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? {
        try presentPlace(key).map(document.string)
    }
    func decodeIfPresent(_ type: Double.Type, forKey key: Key) throws -> Double? {
        try presentPlace(key).map(document.double)
    }
    func decodeIfPresent(_ type: Float.Type, forKey key: Key) throws -> Float? {
        try presentPlace(key).map(document.float)
    }
    func decodeIfPresent(_ type: Int.Type, forKey key: Key) throws -> Int? {
        try presentPlace(key).map { try document.integer($0) }
    }
    func decodeIfPresent(_ type: Int8.Type, forKey key: Key) throws -> Int8? {
        try presentPlace(key).map { try document.integer($0) }
    }
    func decodeIfPresent(_ type: Int16.Type, forKey key: Key) throws -> Int16? {
        try presentPlace(key).map { try document.integer($0) }
    }
    func decodeIfPresent(_ type: Int32.Type, forKey key: Key) throws -> Int32? {
        try presentPlace(key).map { try document.integer($0) }
    }
    func decodeIfPresent(_ type: Int64.Type, forKey key: Key) throws -> Int64? {
        try presentPlace(key).map { try document.integer($0) }
    }
    func decodeIfPresent(_ type: UInt.Type, forKey key: Key) throws -> UInt? {
        try presentPlace(key).map { try document.integer($0) }
    }
    func decodeIfPresent(_ type: UInt8.Type, forKey key: Key) throws -> UInt8? {
        try presentPlace(key).map { try document.integer($0) }
    }
    func decodeIfPresent(_ type: UInt16.Type, forKey key: Key) throws -> UInt16? {
        try presentPlace(key).map { try document.integer($0) }
    }
    func decodeIfPresent(_ type: UInt32.Type, forKey key: Key) throws -> UInt32? {
        try presentPlace(key).map { try document.integer($0) }
    }
    func decodeIfPresent(_ type: UInt64.Type, forKey key: Key) throws -> UInt64? {
        try presentPlace(key).map { try document.integer($0) }
    }
}
