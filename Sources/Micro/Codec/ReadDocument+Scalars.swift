internal import CMicroCore

extension mcore_value {
    @inline(__always)
    private func isKind(_ kind: mcore_value_kind) -> Bool {
        self.kind == UInt8(truncatingIfNeeded: kind.rawValue)
    }
    @inline(__always) var isNull: Bool { isKind(MCORE_VALUE_NULL) }
    @inline(__always) var isBoolean: Bool { isKind(MCORE_VALUE_BOOLEAN) }
    @inline(__always) var isInteger: Bool { isKind(MCORE_VALUE_INTEGER) }
    @inline(__always) var isNatural: Bool { isKind(MCORE_VALUE_NATURAL) }
    @inline(__always) var isNumber: Bool { isKind(MCORE_VALUE_NUMBER) }
    @inline(__always) var isReal: Bool { isKind(MCORE_VALUE_REAL) }
    @inline(__always) var isText: Bool { isKind(MCORE_VALUE_TEXT) }
    @inline(__always) var isBytes: Bool { isKind(MCORE_VALUE_BYTES) }
    @inline(__always) var isArray: Bool { isKind(MCORE_VALUE_ARRAY) }
    @inline(__always) var isMap: Bool { isKind(MCORE_VALUE_MAP) }
    var isExtension: Bool { flags & UInt8(MCORE_VALUE_EXTENSION) != 0 }
    /// A key that comes once more in its map.
    var isSuperseded: Bool { flags & UInt8(MCORE_VALUE_SUPERSEDED) != 0 }

    /// Of a text, bytes or a number.
    @inline(__always) var textSlice: mcore_slice { mcore_slice(data: `as`.text, len: Int(len)) }
    @inline(__always) var textBytes: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: `as`.text, count: Int(len))
    }
    @inline(__always) var string: String { String(knownUTF8: textBytes) }

    /// Of a key of a map: a text, or a number as its digits.
    var name: String {
        if isInteger { return String(`as`.integer) }
        return isNatural ? String(`as`.natural) : string
    }

    /// What it is, for people: "a string".
    var kindForPeople: String {
        switch true {
        case isNull: "null"
        case isBoolean: "true or false"
        case isInteger, isNatural: "a whole number"
        case isNumber, isReal: "a number"
        case isText: "a string"
        case isBytes: isExtension ? "an extension of type \(Int16(bitPattern: tag))" : "bytes"
        case isArray: "a list"
        case isMap: "an object"
        default: "a simple value"
        }
    }
}

extension ReadDocument {
    func isNull(_ at: ValuePlace) throws -> Bool { try open[Int(at)].isNull }

    func boolean(_ at: ValuePlace) throws -> Bool {
        let value = try open[Int(at)]
        if value.isBoolean { return value.as.integer != 0 }
        if value.isText, traits.readsScalarsFromTexts {
            switch value.string {
            case "true", "1", "on": return true
            case "false", "0", "off": return false
            default: break
            }
        }
        throw mismatch(Bool.self, at)
    }

    func string(_ at: ValuePlace) throws -> String {
        let value = try open[Int(at)]
        guard value.isText else { throw mismatch(String.self, at) }
        return value.string
    }

    @inline(__always)
    func integer<T: FixedWidthInteger>(_ at: ValuePlace, as type: T.Type = T.self) throws -> T {
        let value = try open[Int(at)]
        if value.isInteger, let exact = T(exactly: value.as.integer) { return exact }
        return try uncommonInteger(value, at, type)
    }

    /// Beyond `Int64`, with a fraction that is 0, or in a text; or none that fits.
    private func uncommonInteger<T: FixedWidthInteger>(
        _ value: mcore_value, _ at: ValuePlace, _ type: T.Type
    ) throws -> T {
        var (integer, natural): (Int64, UInt64) = (0, 0)
        if value.isNatural {
            if let exact = T(exactly: value.as.natural) { return exact }
        } else if value.isReal {
            if let exact = T(exactly: value.as.real) { return exact }
        } else if value.isNumber || (value.isText && traits.readsScalarsFromTexts) {
            if mcore_number_integer(value.textSlice, &integer) == MCORE_OK {
                if let exact = T(exactly: integer) { return exact }
            } else if mcore_number_natural(value.textSlice, &natural) == MCORE_OK {
                if let exact = T(exactly: natural) { return exact }
            }
        } else if !value.isInteger {
            throw mismatch(type, at)
        }
        throw misfit(type, at)
    }

    func double(_ at: ValuePlace) throws -> Double {
        let value = try open[Int(at)]
        if value.isNumber || (value.isText && traits.readsScalarsFromTexts) {
            var real = 0.0
            guard mcore_number_real(value.textSlice, &real) == MCORE_OK else {
                throw misfit(Double.self, at)
            }
            return real
        }
        if value.isReal { return value.as.real }
        if value.isInteger { return Double(value.as.integer) }
        if value.isNatural { return Double(value.as.natural) }
        throw mismatch(Double.self, at)
    }

    func float(_ at: ValuePlace) throws -> Float {
        let value = try open[Int(at)]
        if value.isNumber || (value.isText && traits.readsScalarsFromTexts) {
            var real: Float = 0
            guard mcore_number_real32(value.textSlice, &real) == MCORE_OK else {
                throw misfit(Float.self, at)
            }
            return real
        }
        if value.isReal {
            let real = Float(value.as.real)
            guard real.isFinite || !value.as.real.isFinite else { throw misfit(Float.self, at) }
            return real
        }
        if value.isInteger { return Float(value.as.integer) }
        if value.isNatural { return Float(value.as.natural) }
        throw mismatch(Float.self, at)
    }
}
