// The types that are a value of every format, and lists, objects and optionals of direct types.

/// A type that reads and writes itself without the detour of `Codable`.
public typealias DirectCodable = DirectDecodable & DirectEncodable

extension Bool: DirectDecodable, DirectEncodable {
    /// Reads true or false.
    @inlinable public init(from value: borrowing DirectReader) throws { self = try value.boolean() }
    /// Writes true or false.
    @inlinable public func encode(to value: inout DirectWriter) throws { try value.write(self) }
}

extension String: DirectDecodable, DirectEncodable {
    /// Reads a text.
    @inlinable public init(from value: borrowing DirectReader) throws { self = try value.text() }
    /// Writes a text.
    @inlinable public func encode(to value: inout DirectWriter) throws { try value.write(self) }
}

extension Double: DirectDecodable, DirectEncodable {
    /// Reads a number.
    @inlinable public init(from value: borrowing DirectReader) throws { self = try value.double() }
    /// Writes a number.
    @inlinable public func encode(to value: inout DirectWriter) throws { try value.write(self) }
}

extension Float: DirectDecodable, DirectEncodable {
    /// Reads a number.
    @inlinable public init(from value: borrowing DirectReader) throws { self = try value.float() }
    /// Writes a number.
    @inlinable public func encode(to value: inout DirectWriter) throws { try value.write(self) }
}

extension FixedWidthInteger {
    @inlinable
    init(_ number: some FixedWidthInteger, of value: borrowing DirectReader) throws {
        guard let exact = Self(exactly: number) else {
            throw value.refusal("the number does not fit \(Self.self)")
        }
        self = exact
    }
}

extension Int: DirectDecodable, DirectEncodable {
    /// Reads a number without a fraction.
    @inlinable public init(from value: borrowing DirectReader) throws {
        self = try Int(value.integer(), of: value)
    }
    /// Writes a number.
    @inlinable public func encode(to value: inout DirectWriter) throws {
        try value.write(Int64(self))
    }
}

extension Int8: DirectDecodable, DirectEncodable {
    /// Reads a number without a fraction.
    @inlinable public init(from value: borrowing DirectReader) throws {
        self = try Int8(value.integer(), of: value)
    }
    /// Writes a number.
    @inlinable public func encode(to value: inout DirectWriter) throws {
        try value.write(Int64(self))
    }
}

extension Int16: DirectDecodable, DirectEncodable {
    /// Reads a number without a fraction.
    @inlinable public init(from value: borrowing DirectReader) throws {
        self = try Int16(value.integer(), of: value)
    }
    /// Writes a number.
    @inlinable public func encode(to value: inout DirectWriter) throws {
        try value.write(Int64(self))
    }
}

extension Int32: DirectDecodable, DirectEncodable {
    /// Reads a number without a fraction.
    @inlinable public init(from value: borrowing DirectReader) throws {
        self = try Int32(value.integer(), of: value)
    }
    /// Writes a number.
    @inlinable public func encode(to value: inout DirectWriter) throws {
        try value.write(Int64(self))
    }
}

extension Int64: DirectDecodable, DirectEncodable {
    /// Reads a number without a fraction.
    @inlinable public init(from value: borrowing DirectReader) throws {
        self = try Int64(value.integer(), of: value)
    }
    /// Writes a number.
    @inlinable public func encode(to value: inout DirectWriter) throws {
        try value.write(Int64(self))
    }
}

extension UInt: DirectDecodable, DirectEncodable {
    /// Reads a number without a fraction.
    @inlinable public init(from value: borrowing DirectReader) throws {
        self = try UInt(value.natural(), of: value)
    }
    /// Writes a number.
    @inlinable public func encode(to value: inout DirectWriter) throws {
        try value.write(UInt64(self))
    }
}

extension UInt8: DirectDecodable, DirectEncodable {
    /// Reads a number without a fraction.
    @inlinable public init(from value: borrowing DirectReader) throws {
        self = try UInt8(value.natural(), of: value)
    }
    /// Writes a number.
    @inlinable public func encode(to value: inout DirectWriter) throws {
        try value.write(UInt64(self))
    }
}

extension UInt16: DirectDecodable, DirectEncodable {
    /// Reads a number without a fraction.
    @inlinable public init(from value: borrowing DirectReader) throws {
        self = try UInt16(value.natural(), of: value)
    }
    /// Writes a number.
    @inlinable public func encode(to value: inout DirectWriter) throws {
        try value.write(UInt64(self))
    }
}

extension UInt32: DirectDecodable, DirectEncodable {
    /// Reads a number without a fraction.
    @inlinable public init(from value: borrowing DirectReader) throws {
        self = try UInt32(value.natural(), of: value)
    }
    /// Writes a number.
    @inlinable public func encode(to value: inout DirectWriter) throws {
        try value.write(UInt64(self))
    }
}

extension UInt64: DirectDecodable, DirectEncodable {
    /// Reads a number without a fraction.
    @inlinable public init(from value: borrowing DirectReader) throws {
        self = try UInt64(value.natural(), of: value)
    }
    /// Writes a number.
    @inlinable public func encode(to value: inout DirectWriter) throws {
        try value.write(UInt64(self))
    }
}

extension Optional: DirectDecodable where Wrapped: DirectDecodable {
    /// Reads null as nil.
    @inlinable public init(from value: borrowing DirectReader) throws {
        self = value.isNull ? nil : try Wrapped(from: value)
    }
}

extension Optional: DirectEncodable where Wrapped: DirectEncodable {
    /// Writes nil as null.
    @inlinable public func encode(to value: inout DirectWriter) throws {
        if let self { try self.encode(to: &value) } else { try value.writeNull() }
    }
}

extension Array: DirectDecodable where Element: DirectDecodable {
    /// Reads a list.
    @inlinable public init(from value: borrowing DirectReader) throws {
        if Element.self == UInt8.self {
            self = unsafeBitCast(try value.bytes(), to: Self.self)
            return
        }
        self = []
        reserveCapacity(value.count)
        try value.forEachElement { append(try Element(from: $0)) }
    }
}

extension Array: DirectEncodable where Element: DirectEncodable {
    /// Writes a list.
    @inlinable public func encode(to value: inout DirectWriter) throws {
        if Element.self == UInt8.self {
            try value.write(unsafeBitCast(self, to: [UInt8].self))
            return
        }
        try value.list { for element in self { try $0.encode(element) } }
    }
}

extension Dictionary: DirectDecodable where Key == String, Value: DirectDecodable {
    /// Reads an object.
    @inlinable public init(from value: borrowing DirectReader) throws {
        self = [:]
        reserveCapacity(value.count)
        try value.forEachField { self[$0] = try Value(from: $1) }
    }
}

extension Dictionary: DirectEncodable where Key == String, Value: DirectEncodable {
    /// Writes an object, sorted by its keys.
    @inlinable public func encode(to value: inout DirectWriter) throws {
        try value.object(isSorted: true) { for (key, field) in self { try $0.encode(key, field) } }
    }
}
