internal import CMicroCore

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
///
/// A field whose number is not one of ``fieldNumbers`` is a mistake of the program, as are messages
/// more than 100 deep within each other: both trap. It has no limit of its own: what is written
/// comes from values that the program has already.
package struct ProtobufWriter: ~Copyable {
    /// What a field can have as its number.
    package static var fieldNumbers: ClosedRange<UInt32> { 1...UInt32(MCORE_PROTOBUF_NUMBER_MAX) }

    private let core: OpaquePointer

    package init() {
        guard let core = mcore_protobuf_writer_create(Int.max) else { fatalError("out of memory") }
        self.core = core
    }

    deinit { mcore_protobuf_writer_destroy(core) }

    /// A copy of what was written.
    package var bytes: [UInt8] {
        var written = mcore_slice()
        guard mcore_protobuf_writer_finish(core, &written) == Int32(MCORE_OK) else {
            fatalError("protobuf: \(String(cString: mcore_protobuf_writer_fault(core)))")
        }
        return [UInt8](UnsafeRawBufferPointer(start: written.data, count: written.len))
    }

    package mutating func varint(_ field: UInt32, _ value: UInt64) {
        mcore_protobuf_writer_varint(core, field, value)
    }

    package mutating func fixed32(_ field: UInt32, _ value: UInt32) {
        mcore_protobuf_writer_fixed32(core, field, value)
    }

    package mutating func fixed64(_ field: UInt32, _ value: UInt64) {
        mcore_protobuf_writer_fixed64(core, field, value)
    }

    package mutating func string(_ field: UInt32, _ text: String) {
        var text = text
        _ = text.withUTF8 {
            mcore_protobuf_writer_text(core, field, mcore_slice(UnsafeRawBufferPointer($0)))
        }
    }

    package mutating func bytes(_ field: UInt32, _ value: [UInt8]) {
        _ = value.withUnsafeBytes { mcore_protobuf_writer_bytes(core, field, mcore_slice($0)) }
    }

    /// A message within this one; nothing of it is left when `body` throws.
    package mutating func message<Failure: Error>(
        _ field: UInt32, _ body: (inout ProtobufWriter) throws(Failure) -> Void
    ) throws(Failure) {
        mcore_protobuf_writer_open(core, field)
        do throws(Failure) {
            try body(&self)
        } catch {
            mcore_protobuf_writer_discard(core)
            throw error
        }
        mcore_protobuf_writer_close(core)
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

    private let bytes: [UInt8]
    private var offset: Int
    private let end: Int

    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
        offset = 0
        end = bytes.count
    }

    private init(_ bytes: [UInt8], _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        self.bytes = bytes
        offset = range.lowerBound
        end = range.upperBound
    }

    /// Where the next field begins.
    package var position: Int { offset }

    /// The next field; nil at the end of the message.
    package mutating func next() throws(ProtobufError) -> Field? {
        var field = mcore_protobuf_field()
        try read { mcore_protobuf_next(&$0, &field) }
        let value: Field.Value
        switch field.type {
        case MCORE_PROTOBUF_VARINT: value = .varint(field.value)
        case MCORE_PROTOBUF_FIXED32: value = .fixed32(UInt32(truncatingIfNeeded: field.value))
        case MCORE_PROTOBUF_FIXED64: value = .fixed64(field.value)
        case MCORE_PROTOBUF_BYTES: value = .bytes((offset - field.bytes.len)..<offset)
        default: return nil
        }
        return Field(number: field.number, value: value)
    }

    /// The next number of a packed field, read by ``message(_:)``; nil at the end.
    package mutating func packedVarint() throws(ProtobufError) -> UInt64? {
        try packed(MCORE_PROTOBUF_VARINT)
    }

    /// The same for one of 4 or 8 bytes.
    package mutating func packedFixed(_ count: Int) throws(ProtobufError) -> UInt64? {
        try packed(count == 8 ? MCORE_PROTOBUF_FIXED64 : MCORE_PROTOBUF_FIXED32)
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

    private mutating func packed(_ type: mcore_protobuf_type) throws(ProtobufError) -> UInt64? {
        guard offset < end else { return nil }
        var value: UInt64 = 0
        try read { mcore_protobuf_next_packed(&$0, type, &value) }
        return value
    }

    /// Lends the bytes to the core's reader, which goes on from here.
    private mutating func read(
        _ body: (inout mcore_protobuf_reader) -> mcore_status
    ) throws(ProtobufError) {
        var reader = mcore_protobuf_reader()
        let status = bytes.withUnsafeBufferPointer { bytes in
            reader.bytes = bytes.baseAddress
            reader.offset = offset
            reader.end = end
            return body(&reader)
        }
        guard status == Int32(MCORE_OK) else {
            let what = reader.fault.map { String(cString: $0) } ?? CoreStatus(raw: status).text
            throw ProtobufError(what: what, offset: reader.fault_offset)
        }
        offset = reader.offset
    }
}
