internal import CMicroCore

/// A type that writes itself to a message without the detour of `Encodable`: several times faster.
///
///     extension Point: DirectEncodable {
///         func encode(to value: inout DirectWriter) throws {
///             try value.object {
///                 try $0.encode("x", x)
///                 try $0.encodeIfPresent("label", label)
///             }
///         }
///     }
///
/// It is for all formats, and counts where the type is the message, and within other direct types.
/// An `Encodable` type around it uses `Encodable`, so both have to write the same.
public protocol DirectEncodable {
    /// Writes one value.
    func encode(to value: inout DirectWriter) throws
}

/// Where one value of a message goes, as it is lent to a ``DirectEncodable`` type. One call writes
/// it, whatever that contains.
public struct DirectWriter: ~Copyable {
    // Lent: it cannot be copied or kept by whoever has it as inout.
    @usableFromInline let target: LentPlace

    @inlinable
    init(_ target: LentPlace) { self.target = target }

    /// Writes an object.
    ///
    /// - Parameters:
    ///   - isSorted: Whether its fields are sorted by their names. Default false.
    ///   - body: Writes its fields.
    @inlinable
    public mutating func object(
        isSorted: Bool = false, _ body: (inout Fields) throws -> Void
    ) throws {
        target.openObject(isSorted)
        var fields = Fields(target)
        try body(&fields)
    }

    /// Writes a list.
    ///
    /// - Parameter body: Writes its elements.
    @inlinable
    public mutating func list(_ body: (inout Elements) throws -> Void) throws {
        target.openList()
        var elements = Elements(target)
        try body(&elements)
    }
}

// Scalars.
extension DirectWriter {
    /// Writes null.
    public mutating func writeNull() throws {
        try target.message._withUnsafeGuaranteedRef { try $0.null() }
    }
    /// Writes true or false.
    public mutating func write(_ value: Bool) throws {
        try target.message._withUnsafeGuaranteedRef { try $0.boolean(value) }
    }
    /// Writes a number.
    public mutating func write(_ value: Int64) throws {
        try target.message._withUnsafeGuaranteedRef { try $0.integer(value) }
    }
    /// Writes a number.
    public mutating func write(_ value: UInt64) throws {
        try target.message._withUnsafeGuaranteedRef { try $0.natural(value) }
    }
    /// Writes a number in the fewest digits that read back as the same.
    public mutating func write(_ value: Double) throws {
        try target.message._withUnsafeGuaranteedRef { try $0.double(value) }
    }
    /// Writes a number in the fewest digits that read back as the same.
    public mutating func write(_ value: Float) throws {
        try target.message._withUnsafeGuaranteedRef { try $0.float(value) }
    }
    /// Writes a text.
    public mutating func write(_ value: String) throws {
        try target.message._withUnsafeGuaranteedRef { try $0.string(value) }
    }
    /// Writes a decimal number digit by digit, as JSON has it: "1.50". Formats that have no
    /// decimals have it as a text.
    public mutating func write(digits value: String) throws {
        try target.message._withUnsafeGuaranteedRef { try $0.number(value) }
    }
    /// Writes bytes; in formats that have none, a list of numbers.
    public mutating func write(_ value: [UInt8]) throws {
        try target.message._withUnsafeGuaranteedRef { try $0.bytes(value, at: target.place) }
    }
}

extension DirectWriter {
    /// The fields of an object that is being written.
    public struct Fields: ~Copyable {
        @usableFromInline let target: LentPlace

        @inlinable
        init(_ target: LentPlace) { self.target = target }

        /// Adds a field.
        @inlinable
        public mutating func encode(_ name: StaticString, _ value: some DirectEncodable) throws {
            var writer = DirectWriter(try target.field(name))
            try value.encode(to: &writer)
        }

        /// Adds a field, unless the value is nil.
        @inlinable
        public mutating func encodeIfPresent(
            _ name: StaticString, _ value: (some DirectEncodable)?
        ) throws {
            if let value { try encode(name, value) }
        }

        /// Adds a field whose name is only known now.
        @inlinable
        public mutating func encode(_ name: String, _ value: some DirectEncodable) throws {
            try encode(name) { try value.encode(to: &$0) }
        }

        /// Adds a field whose name is only known now.
        ///
        /// - Parameter body: Writes its value.
        @inlinable
        public mutating func encode(
            _ name: String, _ body: (inout DirectWriter) throws -> Void
        ) throws {
            var writer = DirectWriter(try target.field(name))
            try body(&writer)
        }
    }

    /// The elements of a list that is being written.
    public struct Elements: ~Copyable {
        @usableFromInline let target: LentPlace

        @inlinable
        init(_ target: LentPlace) { self.target = target }

        /// Adds an element.
        @inlinable
        public mutating func encode(_ value: some DirectEncodable) throws {
            try encode { try value.encode(to: &$0) }
        }

        /// Adds an element.
        ///
        /// - Parameter body: Writes it.
        @inlinable
        public mutating func encode(_ body: (inout DirectWriter) throws -> Void) throws {
            var writer = DirectWriter(try target.element())
            try body(&writer)
        }
    }
}

/// A place of a message that is being written, which whoever has it does not hold on to.
@usableFromInline
struct LentPlace {
    let message: Unmanaged<WrittenMessage>
    let place: MessagePlace

    init(_ message: WrittenMessage, _ place: MessagePlace) {
        self.message = .passUnretained(message)
        self.place = place
    }

    @usableFromInline
    func openObject(_ isSorted: Bool) {
        message._withUnsafeGuaranteedRef { $0.openMap(at: place, isSorted: isSorted) }
    }

    @usableFromInline
    func openList() { message._withUnsafeGuaranteedRef { $0.openArray(at: place) } }

    /// A new field of the object that is open here.
    @usableFromInline
    func field(_ name: StaticString) throws -> LentPlace {
        try message._withUnsafeGuaranteedRef {
            LentPlace($0, try $0.key(mcore_slice(name), in: place))
        }
    }

    @usableFromInline
    func field(_ name: String) throws -> LentPlace {
        try message._withUnsafeGuaranteedRef {
            LentPlace($0, try $0.key(PathKey.name(name), in: place))
        }
    }

    /// A new element of the list that is open here.
    @usableFromInline
    func element() throws -> LentPlace {
        try message._withUnsafeGuaranteedRef { LentPlace($0, try $0.element(in: place)) }
    }
}

extension WrittenMessage {
    /// The message's one value.
    func encodeMessage<T: Encodable>(_ value: T, at place: MessagePlace) throws {
        guard let direct = directTypes.find(T.self, { $0 as? any DirectEncodable.Type }) else {
            return try encode(value, at: place)
        }
        var writer = DirectWriter(LentPlace(self, place))
        try withUnsafePointer(to: value) { try direct.write($0, to: &writer) }
    }
}

extension DirectEncodable {
    /// Not as an existential, which would need memory of its own.
    fileprivate static func write(
        _ value: UnsafeRawPointer, to writer: inout DirectWriter
    ) throws {
        try value.assumingMemoryBound(to: Self.self).pointee.encode(to: &writer)
    }
}
