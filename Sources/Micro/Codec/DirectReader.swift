internal import CMicroCore

/// A type that reads itself from a message without the detour of `Decodable`: several times faster.
///
///     extension Point: DirectDecodable {
///         init(from value: borrowing DirectReader) throws {
///             x = try value.decode("x")
///             label = try value.decodeIfPresent("label")
///         }
///     }
///
/// It is for all formats, and counts where the type is the message, and within other direct types.
/// A `Decodable` type around it uses `Decodable`, so both have to read the same.
public protocol DirectDecodable {
    /// Reads the value. Errors that ``DirectReader`` throws name the path.
    init(from value: borrowing DirectReader) throws
}

/// One value of a message, as it is lent to a ``DirectDecodable`` type.
///
/// Fields are found fastest in the order in which they stand, and in any other, too.
public struct DirectReader: ~Copyable {
    // Lent: it cannot be copied or kept by whoever borrows it.
    @usableFromInline let document: Unmanaged<ReadDocument>
    @usableFromInline let at: UInt32

    @inlinable
    init(_ document: Unmanaged<ReadDocument>, _ at: UInt32) {
        self.document = document
        self.at = at
    }

    /// What a value is.
    public enum Kind: Sendable, Hashable {
        /// Null.
        case null
        /// True or false.
        case boolean
        /// A number without a fraction, of at most 64 bits.
        case integer
        /// Any other number.
        case number
        /// A text.
        case text
        /// Bytes, which JSON has not.
        case bytes
        /// A list.
        case list
        /// An object: fields with names.
        case object
    }

    /// What it is.
    public var kind: Kind {
        guard let value = try? values[Int(at)] else { return .null }
        return switch true {
        case value.isBoolean: .boolean
        case value.isInteger, value.isNatural: .integer
        case value.isNumber, value.isReal: .number
        case value.isText: .text
        case value.isBytes: .bytes
        case value.isArray: .list
        case value.isMap: .object
        default: .null
        }
    }

    /// Whether it is null.
    public var isNull: Bool { (try? values[Int(at)].isNull) ?? true }

    /// How many elements or fields it has; 0 for what is neither a list nor an object.
    public var count: Int {
        guard let value = try? values[Int(at)], value.isArray || value.isMap else { return 0 }
        return Int(value.len)
    }
}

// Fields and elements.
extension DirectReader {
    /// The field of this name.
    ///
    /// - Throws: `DecodingError` when there is none, or it doesn't fit.
    @inlinable
    public func decode<T: DirectDecodable>(
        _ name: StaticString, as type: T.Type = T.self
    ) throws -> T {
        try T(from: DirectReader(document, field(name)))
    }

    /// The field of this name; nil when there is none, or it is null.
    ///
    /// - Throws: `DecodingError` when it doesn't fit.
    @inlinable
    public func decodeIfPresent<T: DirectDecodable>(
        _ name: StaticString, as type: T.Type = T.self
    ) throws -> T? {
        let at = try fieldIfPresent(name)
        return at == .max ? nil : try T(from: DirectReader(document, at))
    }

    /// Goes through the elements of a list.
    ///
    /// - Throws: `DecodingError` when it is none; what `body` throws.
    @inlinable
    public func forEachElement(_ body: (borrowing DirectReader) throws -> Void) throws {
        var (place, count) = try elements()
        while count > 0 {
            try body(DirectReader(document, place))
            place = next(place)
            count -= 1
        }
    }

    /// Goes through the fields of an object in their order.
    ///
    /// - Throws: `DecodingError` when it is none; what `body` throws.
    public func forEachField(_ body: (String, borrowing DirectReader) throws -> Void) throws {
        let values = try values
        guard values[Int(at)].isMap else { throw mismatch([String: Any].self) }
        var place = at + 1
        while place < values[Int(at)].as.inside.next {
            let key = values[Int(place)]
            if !key.isSuperseded { try body(key.name, DirectReader(document, place + 1)) }
            place = mcore_value_next(values, place + 1)
        }
    }

    @usableFromInline
    func field(_ name: StaticString) throws -> UInt32 {
        let place = try find(name)
        if place == MCORE_NOWHERE { throw try missing(name) }
        return place
    }

    @usableFromInline
    func fieldIfPresent(_ name: StaticString) throws -> UInt32 {
        let place = try find(name)
        if place == MCORE_NOWHERE {
            guard try values[Int(at)].isMap else { throw mismatch([String: Any].self) }
            return .max
        }
        return try values[Int(place)].isNull ? .max : place
    }

    /// `MCORE_NOWHERE`: there is none, or this is no object.
    @inline(__always)
    private func find(_ name: StaticString) throws -> UInt32 {
        let name = mcore_slice(name)
        return try document._withUnsafeGuaranteedRef {
            _ = try $0.open
            return mcore_document_find(
                $0.core, at, name.data?.assumingMemoryBound(to: CChar.self), name.len)
        }
    }

    @inline(never)
    private func missing(_ name: StaticString) throws -> DecodingError {
        guard try values[Int(at)].isMap else { return mismatch([String: Any].self) }
        return document._withUnsafeGuaranteedRef { $0.missing(PathKey.name("\(name)"), at) }
    }

    @usableFromInline
    func elements() throws -> (first: UInt32, count: UInt32) {
        try document._withUnsafeGuaranteedRef { try $0.elements(of: at) }
    }

    @usableFromInline
    func next(_ place: UInt32) -> UInt32 {
        (try? values).map { mcore_value_next($0, place) } ?? place
    }

    private var values: UnsafeMutablePointer<mcore_value> {
        @inline(__always) get throws { try document._withUnsafeGuaranteedRef { try $0.open } }
    }

    private func mismatch(_ type: Any.Type) -> DecodingError {
        document._withUnsafeGuaranteedRef { $0.mismatch(type, at) }
    }
}

// Scalars.
extension DirectReader {
    /// The value as a number without a fraction.
    public func integer() throws -> Int64 {
        try document._withUnsafeGuaranteedRef { try $0.integer(at) }
    }

    /// The value as a number that is not negative and has no fraction.
    public func natural() throws -> UInt64 {
        try document._withUnsafeGuaranteedRef { try $0.integer(at) }
    }

    /// The value as the nearest number of 64 bits.
    public func double() throws -> Double {
        try document._withUnsafeGuaranteedRef { try $0.double(at) }
    }

    /// The value as the nearest number of 32 bits.
    public func float() throws -> Float {
        try document._withUnsafeGuaranteedRef { try $0.float(at) }
    }

    /// The value as true or false.
    public func boolean() throws -> Bool {
        try document._withUnsafeGuaranteedRef { try $0.boolean(at) }
    }

    /// The value as a text.
    public func text() throws -> String {
        try document._withUnsafeGuaranteedRef { try $0.string(at) }
    }

    /// A number as it was written, digit by digit: "1.50"; nil for other values.
    public var digits: String? {
        guard let value = try? values[Int(at)] else { return nil }
        if value.isNumber { return value.string }
        if value.isInteger { return String(value.as.integer) }
        if value.isNatural { return String(value.as.natural) }
        guard value.isReal else { return nil }
        let isSingle = value.flags & UInt8(MCORE_VALUE_SINGLE) != 0
        return isSingle ? String(Float(value.as.real)) : String(value.as.real)
    }

    /// The value as bytes: those of the format, or a list of numbers.
    public func bytes() throws -> [UInt8] {
        try document._withUnsafeGuaranteedRef { try $0.decode([UInt8].self, at: at) }
    }

    /// What to throw for a value that has the right form, and is not one that the type can be.
    public func refusal(_ reason: String) -> DecodingError {
        document._withUnsafeGuaranteedRef { .dataCorrupted($0.context(at, reason)) }
    }
}

extension ReadDocument {
    /// The message's one value.
    func decodeMessage<T: Decodable>(_ type: T.Type) throws -> T {
        guard let direct = directTypes.find(type, { $0 as? any DirectDecodable.Type }) else {
            return try decode(type, at: 0)
        }
        return try direct.read(type, from: DirectReader(.passUnretained(self), 0))
    }
}

extension DirectDecodable {
    /// Not as an existential, which would need memory of its own.
    fileprivate static func read<T>(
        _ type: T.Type, from value: borrowing DirectReader
    ) throws -> T {
        // The same type, which only the caller knows.
        try Self(from: value) as! T
    }
}
