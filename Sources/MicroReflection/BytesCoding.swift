package import Micro

/// Messages that are protobuf already.
package struct BytesCoding: MessageReading, MessageWriting {
    package init() {}

    package var readForms: [WireForm] { [.protobuf] }
    package var writtenForms: [WireForm] { [.protobuf] }

    package func read(_ bytes: RawSpan, as form: WireForm) throws -> [UInt8] {
        [UInt8](copying: bytes)
    }

    package func write(_ value: [UInt8], as form: WireForm) throws -> [UInt8] { value }
}
