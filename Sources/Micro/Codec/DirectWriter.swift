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
    @usableFromInline let message: Unmanaged<WrittenMessage>
    @usableFromInline let place: UInt64

    @inlinable
    init(_ message: Unmanaged<WrittenMessage>, _ place: UInt64) {
        self.message = message
        self.place = place
    }

    /// Writes an object.
    ///
    /// - Parameters:
    ///   - isSorted: Whether its fields are sorted by their names. Default false.
    ///   - body: Writes its fields.
    @inlinable
    public mutating func object(
        isSorted: Bool = false, _ body: (inout Fields) throws -> Void
    ) throws {
        openObject(isSorted)
        var fields = Fields(message, place)
        try body(&fields)
    }

    /// Writes a list.
    ///
    /// - Parameter body: Writes its elements.
    @inlinable
    public mutating func list(_ body: (inout Elements) throws -> Void) throws {
        openList()
        var elements = Elements(message, place)
        try body(&elements)
    }

    @usableFromInline
    func openObject(_ isSorted: Bool) {
        message._withUnsafeGuaranteedRef { $0.openMap(at: place, isSorted: isSorted) }
    }

    @usableFromInline
    func openList() { message._withUnsafeGuaranteedRef { $0.openArray(at: place) } }
}

// Scalars.
extension DirectWriter {
    /// Writes null.
    public mutating func writeNull() throws {
        try message._withUnsafeGuaranteedRef { try $0.null() }
    }
    /// Writes true or false.
    public mutating func write(_ value: Bool) throws {
        try message._withUnsafeGuaranteedRef { try $0.boolean(value) }
    }
    /// Writes a number.
    public mutating func write(_ value: Int64) throws {
        try message._withUnsafeGuaranteedRef { try $0.integer(value) }
    }
    /// Writes a number.
    public mutating func write(_ value: UInt64) throws {
        try message._withUnsafeGuaranteedRef { try $0.natural(value) }
    }
    /// Writes a number in the fewest digits that read back as the same.
    public mutating func write(_ value: Double) throws {
        try message._withUnsafeGuaranteedRef { try $0.double(value) }
    }
    /// Writes a number in the fewest digits that read back as the same.
    public mutating func write(_ value: Float) throws {
        try message._withUnsafeGuaranteedRef { try $0.float(value) }
    }
    /// Writes a text.
    public mutating func write(_ value: String) throws {
        try message._withUnsafeGuaranteedRef { try $0.string(value) }
    }
    /// Writes a decimal number digit by digit, as JSON has it: "1.50". Formats that have no
    /// decimals have it as a text.
    public mutating func write(digits value: String) throws {
        try message._withUnsafeGuaranteedRef { try $0.number(value) }
    }
    /// Writes bytes; in formats that have none, a list of numbers.
    public mutating func write(_ value: [UInt8]) throws {
        try message._withUnsafeGuaranteedRef { try $0.bytes(value, at: place) }
    }
}

extension DirectWriter {
    /// The fields of an object that is being written.
    public struct Fields: ~Copyable {
        @usableFromInline let message: Unmanaged<WrittenMessage>
        @usableFromInline let place: UInt64

        @inlinable
        init(_ message: Unmanaged<WrittenMessage>, _ place: UInt64) {
            self.message = message
            self.place = place
        }

        /// Adds a field.
        @inlinable
        public mutating func encode(_ name: StaticString, _ value: some DirectEncodable) throws {
            var writer = DirectWriter(message, try begin(name))
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
            var writer = DirectWriter(message, try begin(name))
            try body(&writer)
        }

        @usableFromInline
        func begin(_ name: StaticString) throws -> UInt64 {
            precondition(name.hasPointerRepresentation, "a name of one character needs two")
            return try message._withUnsafeGuaranteedRef {
                try $0.key(
                    mcore_slice(data: name.utf8Start, len: name.utf8CodeUnitCount), in: place)
            }
        }

        @usableFromInline
        func begin(_ name: String) throws -> UInt64 {
            try message._withUnsafeGuaranteedRef { try $0.key(PathKey.name(name), in: place) }
        }
    }

    /// The elements of a list that is being written.
    public struct Elements: ~Copyable {
        @usableFromInline let message: Unmanaged<WrittenMessage>
        @usableFromInline let place: UInt64

        @inlinable
        init(_ message: Unmanaged<WrittenMessage>, _ place: UInt64) {
            self.message = message
            self.place = place
        }

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
            var writer = DirectWriter(message, try begin())
            try body(&writer)
        }

        @usableFromInline
        func begin() throws -> UInt64 {
            try message._withUnsafeGuaranteedRef { try $0.element(in: place) }
        }
    }
}

extension WrittenMessage {
    /// The message's one value.
    func encodeMessage<T: Encodable>(_ value: T, at place: MessagePlace) throws {
        guard T.self is any DirectEncodable.Type, let direct = value as? any DirectEncodable else {
            return try encode(value, at: place)
        }
        var writer = DirectWriter(.passUnretained(self), place)
        try direct.encode(to: &writer)
    }
}
