package import Micro

/// Messages that are protobuf already.
package struct BytesCoding: MessageReading, MessageWriting {
    package init() {}

    package var readForms: [ProtobufForm] { [.protobuf] }
    package var writtenForms: [ProtobufForm] { [.protobuf] }

    package func read(_ bytes: RawSpan, as form: ProtobufForm) throws -> [UInt8] {
        [UInt8](copying: bytes)
    }

    package func write(_ value: [UInt8], as form: ProtobufForm) throws -> [UInt8] { value }
}
