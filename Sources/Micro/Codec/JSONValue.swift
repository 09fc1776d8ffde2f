/// Any JSON, as a tree.
public enum JSONValue: Sendable, Hashable {
    /// `null`.
    case null
    /// `true` or `false`.
    case boolean(Bool)
    /// A number without a fraction that fits into 64 bits with a sign.
    case integer(Int64)
    /// A number without a fraction that is larger, and fits into 64 bits without a sign.
    case unsigned(UInt64)
    /// Any other number.
    case number(Double)
    /// A string.
    case string(String)
    /// A list.
    case array([JSONValue])
    /// Names and values.
    case object([String: JSONValue])
}

extension JSONValue: Codable {
    /// Reads any value of a self-describing format.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? container.decode(UInt64.self) {
            self = .unsigned(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    /// Writes the value.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .boolean(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .unsigned(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}

extension JSONValue: DirectCodable {
    /// Reads any value but bytes.
    public init(from value: borrowing DirectReader) throws {
        switch value.kind {
        case .null: self = .null
        case .boolean: self = .boolean(try value.boolean())
        case .integer:
            if let integer = try? value.integer() {
                self = .integer(integer)
            } else {
                self = .unsigned(try value.natural())
            }
        case .number: self = .number(try value.double())
        case .text: self = .string(try value.text())
        case .list: self = .array(try [JSONValue](from: value))
        case .object: self = .object(try [String: JSONValue](from: value))
        case .bytes: throw value.refusal("bytes have no form in JSON")
        }
    }

    /// Writes the value.
    public func encode(to writer: inout DirectWriter) throws {
        switch self {
        case .null: try writer.writeNull()
        case .boolean(let value): try writer.write(value)
        case .integer(let value): try writer.write(value)
        case .unsigned(let value): try writer.write(value)
        case .number(let value): try writer.write(value)
        case .string(let value): try writer.write(value)
        case .array(let value): try value.encode(to: &writer)
        case .object(let value): try value.encode(to: &writer)
        }
    }
}

extension JSONValue {
    /// What it is, for people: "a string".
    var kind: String {
        switch self {
        case .null: "null"
        case .boolean: "true or false"
        case .integer, .unsigned: "a whole number"
        case .number: "a number"
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }

    init(encoding value: some Encodable) throws {
        self = try JSONValue(json: try JSONCodec.standard.encode(value))
    }

    init(json bytes: [UInt8]) throws {
        self = try JSONCodec.standard.decode(JSONValue.self, from: bytes.span.bytes)
    }

    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        // Not in one expression: the compiler (6.3.1) makes a broken module of that.
        let bytes = try JSONCodec.standard.encode(self)
        return try JSONCodec.standard.decode(type, from: bytes.span.bytes)
    }
}
