internal import CMicroCore

/// A list of a document, as a type asks for its elements in turn.
struct DocumentElements: UnkeyedDecodingContainer {
    private let document: ReadDocument
    private let array: ValuePlace
    private var next: ValuePlace
    private var index: UInt32 = 0
    private let length: UInt32

    init(document: ReadDocument, array: ValuePlace) throws {
        self.document = document
        self.array = array
        (next, length) = try document.elements(of: array)
    }

    var codingPath: [any CodingKey] { document.path(to: array) }
    var count: Int? { Int(length) }
    var currentIndex: Int { Int(index) }
    var isAtEnd: Bool { index >= length }

    mutating func decodeNil() throws -> Bool {
        guard try document.isNull(place(Any?.self)) else { return false }
        try advance()
        return true
    }

    mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
        try taking { try $0.decode(type, at: $1) }
    }

    mutating func nestedContainer<Key: CodingKey>(
        keyedBy type: Key.Type
    ) throws -> KeyedDecodingContainer<Key> {
        try taking { try DocumentDecoder(document: $0, at: $1).container(keyedBy: type) }
    }

    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        try taking { try DocumentDecoder(document: $0, at: $1).unkeyedContainer() }
    }

    mutating func superDecoder() throws -> any Decoder {
        try taking { DocumentDecoder(document: $0, at: $1) }
    }

    /// Goes on only when `body` has not thrown: a type may try another one.
    @inline(__always)
    private mutating func taking<T>(_ body: (ReadDocument, ValuePlace) throws -> T) throws -> T {
        let value = try body(document, place(T.self))
        try advance()
        return value
    }

    @inline(__always)
    private func place(_ type: Any.Type) throws -> ValuePlace {
        if isAtEnd { throw document.missingElement(type, Int(index), array) }
        return next
    }

    @inline(__always)
    private mutating func advance() throws {
        next = mcore_value_next(try document.open, next)
        index += 1
    }
}

extension DocumentElements {
    mutating func decode(_ type: Bool.Type) throws -> Bool { try taking { try $0.boolean($1) } }
    mutating func decode(_ type: String.Type) throws -> String { try taking { try $0.string($1) } }
    mutating func decode(_ type: Double.Type) throws -> Double { try taking { try $0.double($1) } }
    mutating func decode(_ type: Float.Type) throws -> Float { try taking { try $0.float($1) } }
    mutating func decode(_ type: Int.Type) throws -> Int {
        try taking { try $0.integer($1) }
    }
    mutating func decode(_ type: Int8.Type) throws -> Int8 {
        try taking { try $0.integer($1) }
    }
    mutating func decode(_ type: Int16.Type) throws -> Int16 {
        try taking { try $0.integer($1) }
    }
    mutating func decode(_ type: Int32.Type) throws -> Int32 {
        try taking { try $0.integer($1) }
    }
    mutating func decode(_ type: Int64.Type) throws -> Int64 {
        try taking { try $0.integer($1) }
    }
    mutating func decode(_ type: UInt.Type) throws -> UInt {
        try taking { try $0.integer($1) }
    }
    mutating func decode(_ type: UInt8.Type) throws -> UInt8 {
        try taking { try $0.integer($1) }
    }
    mutating func decode(_ type: UInt16.Type) throws -> UInt16 {
        try taking { try $0.integer($1) }
    }
    mutating func decode(_ type: UInt32.Type) throws -> UInt32 {
        try taking { try $0.integer($1) }
    }
    mutating func decode(_ type: UInt64.Type) throws -> UInt64 {
        try taking { try $0.integer($1) }
    }
}
