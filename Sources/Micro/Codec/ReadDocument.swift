internal import CMicroCore

/// A message that was read, for as long as something is decoded from it.
///
/// Decoders and containers hold on to it. One that is kept longer finds it closed, and throws.
/// For one thread.
@usableFromInline
final class ReadDocument {
    /// Where what was read is: its own document, or one that is lent to it.
    private(set) var core: OpaquePointer
    private let own: OpaquePointer
    /// nil: closed.
    private(set) var values: UnsafeMutablePointer<mcore_value>?
    private(set) var traits: CodingTraits
    let directTypes = RecentTypes<(any DirectDecodable.Type)?>()
    /// Those that are not a value of the format.
    let otherTypes = RecentTypes<Void>()
    /// By the type of the keys: a ``FieldsMaker`` of it.
    let fieldsMakers = RecentTypes<AnyObject>()

    private init(_ traits: CodingTraits) {
        guard let own = mcore_document_create() else { fatalError("out of memory") }
        self.own = own
        core = own
        self.traits = traits
    }

    deinit { mcore_document_destroy(own) }

    /// Reads bytes, and lends what was read.
    ///
    /// - Parameters:
    ///   - traits: How values become those of Swift.
    ///   - read: Reads them into a document of the core.
    ///   - body: Decodes.
    /// - Throws: What these throw. Errors of decoding name the whole path.
    @inline(__always)
    static func with<T>(
        _ traits: CodingTraits, read: (OpaquePointer) throws -> Void,
        _ body: (ReadDocument) throws -> T
    ) throws -> T {
        try with(
            traits,
            fill: {
                try read($0)
                return $0
            }, body)
    }

    /// Lends what is in a document of the core, which has to outlive the call.
    static func with<T>(
        _ traits: CodingTraits, lent: OpaquePointer, _ body: (ReadDocument) throws -> T
    ) throws -> T {
        try with(traits, fill: { _ in lent }, body)
    }

    @inline(__always)
    private static func with<T>(
        _ traits: CodingTraits, fill: (OpaquePointer) throws -> OpaquePointer,
        _ body: (ReadDocument) throws -> T
    ) throws -> T {
        var document = ThreadSpare.take(MCORE_SPARE_READER) ?? ReadDocument(traits)
        defer {
            document.values = nil
            document.core = document.own
            if isKnownUniquelyReferenced(&document) {
                mcore_document_reset(document.own, ThreadSpare.keptBytes)
                ThreadSpare.keep(document, as: MCORE_SPARE_READER)
            }
        }
        document.traits = traits
        document.core = try fill(document.own)
        document.values = mcore_document_values(document.core)
        do {
            return try body(document)
        } catch let error as DecodingError {
            throw error.settled
        }
    }
}

/// The place of a value in a document.
typealias ValuePlace = UInt32

extension ReadDocument {
    /// The place of the value of this key in the map at `map`; nil when there is none.
    func find(_ key: some CodingKey, in map: ValuePlace) -> ValuePlace? {
        guard values != nil else { return nil }
        var name = key.stringValue
        let found = name.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) {
                mcore_document_find(core, map, $0.baseAddress, $0.count)
            }
        }
        if found != MCORE_NOWHERE { return found }
        guard let number = key.intValue else { return findNumber(name, in: map) }
        let numbered = mcore_document_find_integer(core, map, Int64(number))
        return numbered == MCORE_NOWHERE ? nil : numbered
    }

    /// The value of a key that is a number beyond `Int`, by its digits.
    private func findNumber(_ digits: String, in map: ValuePlace) -> ValuePlace? {
        guard let values, let first = digits.utf8.first,
            first == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first)
        else { return nil }
        var at = map + 1
        while at < values[Int(map)].as.inside.next {
            let key = values[Int(at)]
            if key.isNatural || key.isNumber, !key.isSuperseded, key.name == digits {
                return at + 1
            }
            at = mcore_value_next(values, at + 1)
        }
        return nil
    }

    /// The keys of a map in their order.
    func keys<Key: CodingKey>(of map: ValuePlace) -> [Key] {
        guard let values else { return [] }
        var keys: [Key] = []
        keys.reserveCapacity(Int(values[Int(map)].len))
        var at = map + 1
        while at < values[Int(map)].as.inside.next {
            let key = values[Int(at)]
            if !key.isSuperseded, let key = Key(key) { keys.append(key) }
            at = mcore_value_next(values, at + 1)
        }
        return keys
    }
}

extension CodingKey {
    fileprivate init?(_ key: mcore_value) {
        if key.isInteger, let made = Self(intValue: Int(key.as.integer)) {
            self = made
        } else {
            self.init(stringValue: key.name)
        }
    }
}
