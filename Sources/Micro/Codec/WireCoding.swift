/// A message of which Micro knows the protobuf form by heart, so that it needs no generated code.
package protocol WireMessage: Sendable {
    init(protobuf reader: inout ProtobufReader) throws(ProtobufError)
    func write(to writer: inout ProtobufWriter)
}

extension WireMessage {
    package init(protobuf bytes: [UInt8]) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        try self.init(protobuf: &reader)
    }

    package var protobuf: [UInt8] {
        var writer = ProtobufWriter()
        write(to: &writer)
        return writer.bytes
    }
}

/// How a message is written that is known as protobuf.
package enum WireForm: MessageForm {
    case protobuf, json

    package var name: String { self == .protobuf ? "proto" : "json" }
    package var contentType: ContentType {
        self == .protobuf ? ContentType("application", "protobuf") : .json
    }
    package var isStreamable: Bool { self == .json }
}

/// A ``WireMessage`` as protobuf, and as JSON when it is `Codable` too.
package struct WireCoding<Message: WireMessage>: MessageReading, MessageWriting {
    private struct JSON: Sendable {
        let read: @Sendable (RawSpan) throws -> Message
        let write: @Sendable (Message) throws -> [UInt8]
    }

    private let json: JSON?

    package init() { json = nil }

    package init() where Message: Codable {
        let codec = JSONCodec.standard
        json = JSON(
            read: { try codec.decode(Message.self, from: $0) }, write: { try codec.encode($0) })
    }

    private var forms: [WireForm] { json == nil ? [.protobuf] : [.protobuf, .json] }
    package var readForms: [WireForm] { forms }
    package var writtenForms: [WireForm] { forms }

    package func read(_ bytes: RawSpan, as form: WireForm) throws -> Message {
        if form == .json, let json { return try json.read(bytes) }
        do {
            return try Message(protobuf: [UInt8](copying: bytes))
        } catch {
            throw MicroError.invalid(
                "", "the message is no protobuf: \(error.what), at byte \(error.offset)")
        }
    }

    package func write(_ value: Message, as form: WireForm) throws -> [UInt8] {
        if form == .json, let json { return try json.write(value) }
        return value.protobuf
    }
}
