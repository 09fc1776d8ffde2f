internal import CMicroCore

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// How a `Date` is written.
public enum DateCoding: Sendable, Hashable {
    /// As it codes itself: seconds since 2001, with a fraction.
    case deferredToDate
    /// Seconds since 1970, with a fraction.
    case secondsSince1970
    /// Milliseconds since 1970; what is finer is lost.
    case millisecondsSince1970
    /// A text by RFC 3339: "2026-11-27T07:00:00.250Z". What is finer than a millisecond is lost.
    case iso8601
}

// The types of Foundation whose own `Codable` form is not what a format would have for them. Where
// MessagePack or CBOR say that something is a time, it is read as that.
extension ReadDocument {
    func isOfFoundation(_ type: Any.Type) -> Bool {
        type == Date.self || type == Data.self || type == URL.self || type == Decimal.self
    }

    /// A value of one of these types.
    func foundationValue<T>(_ type: T.Type, _ at: ValuePlace) throws -> T {
        if type == Date.self { return unsafeBitCast(try date(at), to: T.self) }
        if type == Data.self { return unsafeBitCast(try data(at), to: T.self) }
        if type == URL.self { return unsafeBitCast(try url(at), to: T.self) }
        return unsafeBitCast(try decimal(at), to: T.self)
    }

    private func date(_ at: ValuePlace) throws -> Date {
        let value = try open[Int(at)]
        if value.isExtension { return try timestamp(at) }
        if value.isTagged(0) { return try date(parsing: at) }
        if value.isTagged(1) { return Date(timeIntervalSince1970: try double(at)) }
        return switch traits.dates {
        case .deferredToDate: Date(timeIntervalSinceReferenceDate: try double(at))
        case .secondsSince1970: Date(timeIntervalSince1970: try double(at))
        case .millisecondsSince1970: Date(timeIntervalSince1970: try double(at) / 1000)
        case .iso8601: try date(parsing: at)
        }
    }

    private func date(parsing at: ValuePlace) throws -> Date {
        let text = try string(at)
        if let date = try? Date(text, strategy: .iso8601) { return date }
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        if let date = try? Date(text, strategy: style) { return date }
        throw DecodingError.dataCorrupted(
            context(at, "expected a time such as 2026-11-27T07:00:00Z"))
    }

    /// The extension type -1 of MessagePack: seconds of 32 bits, of 34 with 30 of nanoseconds, or
    /// of 64 after 32.
    private func timestamp(_ at: ValuePlace) throws -> Date {
        let value = try open[Int(at)]
        let bytes = value.textBytes
        func number(_ range: Range<Int>) -> UInt64 {
            bytes[range].reduce(0) { $0 << 8 | UInt64($1) }
        }
        let (seconds, nanoseconds): (Int64, UInt64)
        switch (value.tag, bytes.count) {
        case (UInt16(bitPattern: -1), 4): (seconds, nanoseconds) = (Int64(number(0..<4)), 0)
        case (UInt16(bitPattern: -1), 8):
            let both = number(0..<8)
            (seconds, nanoseconds) = (Int64(both & ((1 << 34) - 1)), both >> 34)
        case (UInt16(bitPattern: -1), 12):
            (seconds, nanoseconds) = (Int64(bitPattern: number(4..<12)), number(0..<4))
        default: throw mismatch(Date.self, at)
        }
        guard nanoseconds < 1_000_000_000 else { throw misfit(Date.self, at) }
        return Date(timeIntervalSince1970: Double(seconds) + Double(nanoseconds) / 1e9)
    }

    private func data(_ at: ValuePlace) throws -> Data {
        let value = try open[Int(at)]
        if value.isBytes, !value.isExtension { return Data(value.textBytes) }
        if value.isArray { return Data(try decode([UInt8].self, at: at)) }
        guard value.isText else { throw mismatch(Data.self, at) }
        guard let data = Data(base64Encoded: value.string) else {
            throw DecodingError.dataCorrupted(context(at, "expected bytes in base64"))
        }
        return data
    }

    private func url(_ at: ValuePlace) throws -> URL {
        guard let url = URL(string: try string(at)) else {
            throw DecodingError.dataCorrupted(context(at, "expected a URL"))
        }
        return url
    }

    private func decimal(_ at: ValuePlace) throws -> Decimal {
        let value = try open[Int(at)]
        if value.isInteger { return Decimal(value.as.integer) }
        if value.isNatural { return Decimal(value.as.natural) }
        if value.isReal { return Decimal(value.as.real) }
        guard value.isNumber || value.isText else { throw mismatch(Decimal.self, at) }
        guard let decimal = Decimal(string: value.string) else { throw misfit(Decimal.self, at) }
        return decimal
    }
}

extension mcore_value {
    fileprivate func isTagged(_ number: UInt16) -> Bool {
        flags & UInt8(MCORE_VALUE_TAGGED) != 0 && tag == number
    }
}

extension WrittenMessage {
    /// false: the value is of another type.
    func writeFoundation<T>(_ value: T) throws -> Bool {
        if T.self == Date.self {
            try write(unsafeBitCast(value, to: Date.self))
        } else if T.self == Data.self {
            try unsafeBitCast(value, to: Data.self).withUnsafeBytes(bytes)
        } else if T.self == URL.self {
            try string(unsafeBitCast(value, to: URL.self).absoluteString)
        } else if T.self == Decimal.self {
            try number(unsafeBitCast(value, to: Decimal.self).description)
        } else {
            return false
        }
        return true
    }

    private func write(_ date: Date) throws {
        switch traits.dates {
        case .deferredToDate: try double(date.timeIntervalSinceReferenceDate)
        case .secondsSince1970: try double(date.timeIntervalSince1970)
        case .millisecondsSince1970:
            try double((date.timeIntervalSince1970 * 1000).rounded(.towardZero))
        case .iso8601:
            let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
            try string(date.formatted(style))
        }
    }
}
