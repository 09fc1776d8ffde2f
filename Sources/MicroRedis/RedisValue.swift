/// What Redis answers.
public enum RedisValue: Sendable, Hashable {
    /// Nothing: there is no such key, or a condition did not hold.
    case null
    /// A status: "OK".
    case status(String)
    /// Bytes.
    case bytes([UInt8])
    /// A number.
    case integer(Int64)
    /// More values.
    case array([RedisValue])
    /// What went wrong, in Redis's words: "WRONGTYPE Operation against a key …". Only inside of an
    /// array, and of what ``RedisClient/pipeline(_:)`` returns: elsewhere it is thrown.
    case error(String)

    /// Whether there is nothing.
    public var isNull: Bool { self == .null }

    /// The bytes of a value that has some: also of a status, and of a number in decimal.
    public var bytes: [UInt8]? {
        switch self {
        case .bytes(let bytes): bytes
        case .status(let text): Array(text.utf8)
        case .integer(let number): Array(String(number).utf8)
        case .null, .array, .error: nil
        }
    }

    /// ``bytes`` as text; nil for what is not UTF-8.
    public var string: String? {
        if case .status(let text) = self { return text }
        return bytes.flatMap { String(validating: $0, as: UTF8.self) }
    }

    /// The number, also of one that comes as text.
    public var integer: Int64? {
        if case .integer(let number) = self { return number }
        return string.flatMap { Int64($0) }
    }

    /// The values of an array.
    public var array: [RedisValue]? {
        if case .array(let values) = self { return values }
        return nil
    }
}
