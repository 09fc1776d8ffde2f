internal import CMicroCore

/// A value of a document, as a type reads itself from it.
struct DocumentDecoder: Decoder {
    let document: ReadDocument
    let at: ValuePlace

    var codingPath: [any CodingKey] { document.path(to: at) }
    var userInfo: [CodingUserInfoKey: Any] { document.traits.userInfo }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard try document.open[Int(at)].isMap else {
            throw document.mismatch([String: Any].self, at)
        }
        return document.fields(keyedBy: type, of: at)
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        try DocumentElements(document: document, array: at)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { self }
}

extension DocumentDecoder: SingleValueDecodingContainer {
    func decodeNil() -> Bool { (try? document.isNull(at)) ?? false }
    func decode<T: Decodable>(_ type: T.Type) throws -> T { try document.decode(type, at: at) }
    func decode(_ type: Bool.Type) throws -> Bool { try document.boolean(at) }
    func decode(_ type: String.Type) throws -> String { try document.string(at) }
    func decode(_ type: Double.Type) throws -> Double { try document.double(at) }
    func decode(_ type: Float.Type) throws -> Float { try document.float(at) }
    func decode(_ type: Int.Type) throws -> Int { try document.integer(at) }
    func decode(_ type: Int8.Type) throws -> Int8 { try document.integer(at) }
    func decode(_ type: Int16.Type) throws -> Int16 { try document.integer(at) }
    func decode(_ type: Int32.Type) throws -> Int32 { try document.integer(at) }
    func decode(_ type: Int64.Type) throws -> Int64 { try document.integer(at) }
    func decode(_ type: UInt.Type) throws -> UInt { try document.integer(at) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try document.integer(at) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try document.integer(at) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try document.integer(at) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try document.integer(at) }
}

extension ReadDocument {
    /// The value at `at`. Types that are a value of the format are known here; others read
    /// themselves.
    func decode<T: Decodable>(_ type: T.Type, at: ValuePlace) throws -> T {
        // To compare it with all types that are known here takes longer.
        if otherTypes.contains(type) { return try T(from: DocumentDecoder(document: self, at: at)) }
        // Not an optional of T: its metadata would have to be looked for.
        func known<Known>(_ value: Known) -> T { unsafeBitCast(value, to: T.self) }
        if type == String.self { return known(try string(at)) }
        if type == Int.self { return known(try integer(at, as: Int.self)) }
        if type == Double.self { return known(try double(at)) }
        if type == Bool.self { return known(try boolean(at)) }
        if type == [String].self { return known(try list(at, string)) }
        if type == [Int].self { return known(try list(at) { try integer($0, as: Int.self) }) }
        if type == [Double].self { return known(try list(at, double)) }
        if type == [UInt8].self { return known(try byteList(at)) }
        if type == Int8.self { return known(try integer(at, as: Int8.self)) }
        if type == Int16.self { return known(try integer(at, as: Int16.self)) }
        if type == Int32.self { return known(try integer(at, as: Int32.self)) }
        if type == Int64.self { return known(try integer(at, as: Int64.self)) }
        if type == UInt.self { return known(try integer(at, as: UInt.self)) }
        if type == UInt8.self { return known(try integer(at, as: UInt8.self)) }
        if type == UInt16.self { return known(try integer(at, as: UInt16.self)) }
        if type == UInt32.self { return known(try integer(at, as: UInt32.self)) }
        if type == UInt64.self { return known(try integer(at, as: UInt64.self)) }
        if type == Float.self { return known(try float(at)) }
        if isOfFoundation(type) { return try foundationValue(type, at) }
        otherTypes.note(type, ())
        return try T(from: DocumentDecoder(document: self, at: at))
    }

    /// The place of the first element of a list, and how many there are. Where texts are all that
    /// there is, one alone is a list of it.
    func elements(of at: ValuePlace) throws -> (first: ValuePlace, count: UInt32) {
        let value = try open[Int(at)]
        if value.isArray { return (at + 1, value.len) }
        guard value.isText, traits.readsScalarsFromTexts else { throw mismatch([Any].self, at) }
        return (at, 1)
    }

    private func list<Element>(
        _ at: ValuePlace, _ element: (ValuePlace) throws -> Element
    ) throws -> [Element] {
        var (place, count) = try elements(of: at)
        let values = try open
        var list: [Element] = []
        list.reserveCapacity(Int(count))
        for _ in 0..<count {
            list.append(try element(place))
            place = mcore_value_next(values, place)
        }
        return list
    }

    /// A list of numbers, or bytes where the format has them.
    private func byteList(_ at: ValuePlace) throws -> [UInt8] {
        let value = try open[Int(at)]
        guard value.isBytes else { return try list(at) { try integer($0, as: UInt8.self) } }
        if value.isExtension { throw mismatch([UInt8].self, at) }
        return [UInt8](value.textBytes)
    }
}
