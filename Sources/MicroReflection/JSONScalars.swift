internal import Micro

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// JSON as the scalar types of protobuf.
extension JSONValue {
    var kind: String {
        switch self {
        case .null: "null"
        case .boolean: "true or false"
        case .integer, .unsigned, .number: "a number"
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }

    func text(_ path: JSONPath) throws(MicroError) -> String {
        guard case .string(let text) = self else {
            throw path.error("a string is needed, not \(kind)")
        }
        return text
    }

    func flag(_ path: JSONPath) throws(MicroError) -> Bool {
        guard case .boolean(let flag) = self else {
            throw path.error("true or false is needed, not \(kind)")
        }
        return flag
    }

    /// Base64 in either alphabet, with or without the padding.
    func base64Bytes(_ path: JSONPath) throws(MicroError) -> [UInt8] {
        var plain = ""
        for character in try text(path) where character != "=" {
            switch character {
            case "-": plain.append("+")
            case "_": plain.append("/")
            default: plain.append(character)
            }
        }
        plain += String(repeating: "=", count: (4 - plain.utf8.count % 4) % 4)
        guard let data = Data(base64Encoded: plain) else {
            throw path.error("bytes are base64 in JSON: this is not")
        }
        return [UInt8](data)
    }

    /// A number without a fraction, also as a string or as "1e3".
    func whole<Number: FixedWidthInteger>(
        _ path: JSONPath, _ type: Number.Type = Number.self
    ) throws(MicroError) -> Number {
        let number: Number? =
            switch self {
            case .integer(let value): Number(exactly: value)
            case .unsigned(let value): Number(exactly: value)
            case .number(let value): Number(exactly: value)
            case .string(let text):
                Number(text) ?? Double(text).flatMap { Number(exactly: $0) }
            default: nil
            }
        guard let number else {
            let range = "\(Number.min) to \(Number.max)"
            throw path.error("a whole number from \(range) is needed, not \(shown)")
        }
        return number
    }

    func int32(_ path: JSONPath) throws(MicroError) -> Int32 { try whole(path) }

    /// A number, also as a string, or "NaN", "Infinity", "-Infinity".
    func float<Number: BinaryFloatingPoint & LosslessStringConvertible>(
        _ path: JSONPath, _ type: Number.Type
    ) throws(MicroError) -> Number {
        let number: Number?
        switch self {
        case .integer(let value): number = Number(value)
        case .unsigned(let value): number = Number(value)
        case .number(let value): number = Number(value)
        case .string("NaN"): return .nan
        case .string("Infinity"): return .infinity
        case .string("-Infinity"): return -.infinity
        case .string(let text): number = Number(text)
        default: number = nil
        }
        guard let number, number.isFinite else {
            throw path.error("a number within the range of the field is needed, not \(shown)")
        }
        return number
    }

    private var shown: String {
        switch self {
        case .integer(let value): "\(value)"
        case .unsigned(let value): "\(value)"
        case .number(let value): "\(value)"
        case .string(let text): "\"\(text.prefix(40))\""
        default: kind
        }
    }

    /// What does not fit into a JSON number is a string.
    init(_ number: Double) {
        if number.isNaN {
            self = .string("NaN")
        } else if number.isInfinite {
            self = .string(number < 0 ? "-Infinity" : "Infinity")
        } else {
            self = .number(number)
        }
    }

    /// With the digits of the shorter type: 0.1, not 0.10000000149011612.
    init(_ number: Float) {
        self.init(number.isFinite ? Double("\(number)") ?? Double(number) : Double(number))
    }

    init(base64 bytes: [UInt8]) { self = .string(Data(bytes).base64EncodedString()) }
}

extension Int32 {
    var zigzag: UInt32 { UInt32(bitPattern: (self << 1) ^ (self >> 31)) }
    init(zigzag bits: UInt32) { self = Int32(bitPattern: bits >> 1) ^ -Int32(bitPattern: bits & 1) }
}

extension Int64 {
    var zigzag: UInt64 { UInt64(bitPattern: (self << 1) ^ (self >> 63)) }
    init(zigzag bits: UInt64) { self = Int64(bitPattern: bits >> 1) ^ -Int64(bitPattern: bits & 1) }
}
