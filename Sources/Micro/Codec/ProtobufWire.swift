/// Why bytes are no protobuf message.
package struct ProtobufError: Error, Hashable {
    package var what: String
    package var offset: Int

    package init(what: String, offset: Int) {
        self.what = what
        self.offset = offset
    }
}

/// Writes the protobuf wire format.
package struct ProtobufWriter {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func varint(_ field: UInt32, _ value: UInt64) {
        raw(UInt64(field) << 3)
        raw(value)
    }

    package mutating func fixed32(_ field: UInt32, _ value: UInt32) {
        raw(UInt64(field) << 3 | 5)
        for shift in stride(from: 0, to: 32, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    package mutating func fixed64(_ field: UInt32, _ value: UInt64) {
        raw(UInt64(field) << 3 | 1)
        for shift in stride(from: 0, to: 64, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    package mutating func string(_ field: UInt32, _ text: String) {
        header(field, count: text.utf8.count)
        bytes.append(contentsOf: text.utf8)
    }

    package mutating func bytes(_ field: UInt32, _ value: [UInt8]) {
        header(field, count: value.count)
        bytes.append(contentsOf: value)
    }

    package mutating func message<Failure: Error>(
        _ field: UInt32, _ body: (inout ProtobufWriter) throws(Failure) -> Void
    ) throws(Failure) {
        var inner = ProtobufWriter()
        try body(&inner)
        bytes(field, inner.bytes)
    }

    private mutating func header(_ field: UInt32, count: Int) {
        raw(UInt64(field) << 3 | 2)
        raw(UInt64(count))
    }

    private mutating func raw(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}

/// Reads the protobuf wire format from bytes that anybody may have sent: every length is checked
/// against what is left, and nothing is allocated for it before. Groups are skipped.
package struct ProtobufReader {
    /// A field of a message.
    package struct Field: Hashable {
        package enum Value: Hashable {
            case varint(UInt64)
            case fixed32(UInt32)
            case fixed64(UInt64)
            case bytes(Range<Int>)
        }

        package var number: UInt32
        package var value: Value
    }

    /// As deep as protobuf's own implementations go.
    private static let groupDepthMax = 100

    private let bytes: [UInt8]
    private var offset: Int
    private let end: Int

    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
        offset = 0
        end = bytes.count
    }

    private init(_ bytes: [UInt8], _ range: Range<Int>) {
        self.bytes = bytes
        offset = range.lowerBound
        end = range.upperBound
    }

    /// Where the next field begins.
    package var position: Int { offset }

    /// The next field; nil at the end of the message.
    package mutating func next() throws(ProtobufError) -> Field? {
        while offset < end {
            let start = offset
            let (number, type) = try tag()
            switch type {
            case 0: return Field(number: number, value: .varint(try varint()))
            case 1: return Field(number: number, value: .fixed64(try fixed(8)))
            case 2: return Field(number: number, value: .bytes(try lengthDelimited()))
            case 3: try skipGroup(number)
            case 5:
                return Field(
                    number: number, value: .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
            default: throw ProtobufError(what: "wire type \(type)", offset: start)
            }
        }
        return nil
    }

    /// The next number of a packed field, read by ``message(_:)``; nil at the end.
    package mutating func packedVarint() throws(ProtobufError) -> UInt64? {
        offset < end ? try varint() : nil
    }

    /// The same for one of 4 or 8 bytes.
    package mutating func packedFixed(_ count: Int) throws(ProtobufError) -> UInt64? {
        offset < end ? try fixed(count) : nil
    }

    /// A copy of a length-delimited field.
    package func bytes(_ range: Range<Int>) -> [UInt8] { [UInt8](bytes[range]) }

    /// The text of a length-delimited field.
    package func string(_ range: Range<Int>) throws(ProtobufError) -> String {
        guard let text = String(validating: bytes[range], as: UTF8.self) else {
            throw ProtobufError(what: "a string that is not UTF-8", offset: range.lowerBound)
        }
        return text
    }

    /// A reader for the message in a length-delimited field.
    package func message(_ range: Range<Int>) -> ProtobufReader { ProtobufReader(bytes, range) }

    private mutating func tag() throws(ProtobufError) -> (number: UInt32, type: UInt8) {
        let start = offset
        let tag = try varint()
        guard let tag = UInt32(exactly: tag), tag >> 3 != 0 else {
            throw ProtobufError(what: "a field number out of range", offset: start)
        }
        return (tag >> 3, UInt8(tag & 7))
    }

    private mutating func varint() throws(ProtobufError) -> UInt64 {
        let start = offset
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard offset < end else { break }
            let byte = bytes[offset]
            offset += 1
            // The tenth byte has room for one bit.
            if shift == 63, byte > 1 { break }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
        }
        throw ProtobufError(what: "a number that does not end", offset: start)
    }

    private mutating func fixed(_ count: Int) throws(ProtobufError) -> UInt64 {
        guard end - offset >= count else {
            throw ProtobufError(what: "a number that is cut off", offset: offset)
        }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
        offset += count
        return value
    }

    private mutating func lengthDelimited() throws(ProtobufError) -> Range<Int> {
        let start = offset
        guard let count = Int(exactly: try varint()), count <= end - offset else {
            throw ProtobufError(what: "a length beyond the end", offset: start)
        }
        defer { offset += count }
        return offset..<(offset + count)
    }

    /// Without recursion, so that nesting costs no stack.
    private mutating func skipGroup(_ number: UInt32) throws(ProtobufError) {
        var open = [number]
        while let group = open.last {
            let start = offset
            let (number, type) = try tag()
            switch type {
            case 0: _ = try varint()
            case 1: _ = try fixed(8)
            case 2: _ = try lengthDelimited()
            case 3 where open.count < Self.groupDepthMax: open.append(number)
            case 4 where number == group: open.removeLast()
            case 5: _ = try fixed(4)
            default: throw ProtobufError(what: "a group that is not closed right", offset: start)
            }
        }
    }
}
