/// A .proto file as `google.protobuf.FileDescriptorProto` describes it: what naming, reading and
/// writing its messages takes. Options of no importance for that are not kept.
package struct FileDescriptor: WireMessage, Hashable {
    package var name = ""
    package var packageName = ""
    package var dependencies: [String] = []
    package var messages: [MessageDescriptor] = []
    package var enums: [EnumDescriptor] = []
    package var services: [ServiceDescriptor] = []
    package var extensions: [FieldDescriptor] = []
    /// "proto3"; "" means proto2.
    package var syntax = ""
    /// The number of the edition, when the file has one.
    package var edition: UInt64 = 0

    package init(name: String, package: String, syntax: String = "proto3") {
        self.name = name
        packageName = package
        self.syntax = syntax
    }

    package init(protobuf reader: inout ProtobufReader) throws(ProtobufError) {
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let range)): name = try reader.string(range)
            case (2, .bytes(let range)): packageName = try reader.string(range)
            case (3, .bytes(let range)): dependencies.append(try reader.string(range))
            case (4, .bytes(let range)):
                messages.append(try MessageDescriptor(reader.message(range), depth: 1))
            case (5, .bytes(let range)): enums.append(try reader.nested(range))
            case (6, .bytes(let range)): services.append(try reader.nested(range))
            case (7, .bytes(let range)): extensions.append(try reader.nested(range))
            case (12, .bytes(let range)): syntax = try reader.string(range)
            case (14, .varint(let number)): edition = number
            default: break
            }
        }
    }

    package func write(to writer: inout ProtobufWriter) {
        writer.string(1, name)
        if !packageName.isEmpty { writer.string(2, packageName) }
        for name in dependencies { writer.string(3, name) }
        for message in messages { writer.message(4) { message.write(to: &$0) } }
        for item in enums { writer.message(5) { item.write(to: &$0) } }
        for service in services { writer.message(6) { service.write(to: &$0) } }
        for field in extensions { writer.message(7) { field.write(to: &$0) } }
        if !syntax.isEmpty { writer.string(12, syntax) }
        if edition != 0 { writer.varint(14, edition) }
    }
}

/// `google.protobuf.DescriptorProto`
package struct MessageDescriptor: Sendable, Hashable {
    package var name = ""
    package var fields: [FieldDescriptor] = []
    package var messages: [MessageDescriptor] = []
    package var enums: [EnumDescriptor] = []
    package var extensions: [FieldDescriptor] = []
    package var oneofs: [String] = []
    /// Whether it is a pair of a map: a message with the fields `key` and `value`.
    package var isMapEntry = false

    /// Deeper nesting of types would cost the stack of whoever reads them.
    private static let depthMax = 64

    package init(_ name: String, _ fields: [FieldDescriptor] = []) {
        self.name = name
        self.fields = fields
    }

    fileprivate init(_ reader: ProtobufReader, depth: Int) throws(ProtobufError) {
        guard depth <= Self.depthMax else {
            throw ProtobufError(
                what: "types nested deeper than \(Self.depthMax)", offset: reader.position)
        }
        var reader = reader
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let range)): name = try reader.string(range)
            case (2, .bytes(let range)): fields.append(try reader.nested(range))
            case (3, .bytes(let range)):
                messages.append(try MessageDescriptor(reader.message(range), depth: depth + 1))
            case (4, .bytes(let range)): enums.append(try reader.nested(range))
            case (6, .bytes(let range)): extensions.append(try reader.nested(range))
            case (7, .bytes(let range)): try readOptions(reader.message(range))
            case (8, .bytes(let range)):
                let oneof: OneofDescriptor = try reader.nested(range)
                oneofs.append(oneof.name)
            default: break
            }
        }
    }

    private mutating func readOptions(_ reader: ProtobufReader) throws(ProtobufError) {
        var reader = reader
        while let field = try reader.next() {
            if case (7, .varint(let flag)) = (field.number, field.value) { isMapEntry = flag != 0 }
        }
    }

    func write(to writer: inout ProtobufWriter) {
        writer.string(1, name)
        for field in fields { writer.message(2) { field.write(to: &$0) } }
        for message in messages { writer.message(3) { message.write(to: &$0) } }
        for item in enums { writer.message(4) { item.write(to: &$0) } }
        for field in extensions { writer.message(6) { field.write(to: &$0) } }
        if isMapEntry { writer.message(7) { $0.varint(7, 1) } }
        for oneof in oneofs { writer.message(8) { $0.string(1, oneof) } }
    }
}

/// `google.protobuf.OneofDescriptorProto`
private struct OneofDescriptor: WireMessage {
    var name = ""

    init(protobuf reader: inout ProtobufReader) throws(ProtobufError) {
        while let field = try reader.next() {
            if case (1, .bytes(let range)) = (field.number, field.value) {
                name = try reader.string(range)
            }
        }
    }

    func write(to writer: inout ProtobufWriter) { writer.string(1, name) }
}

/// `google.protobuf.EnumDescriptorProto`
package struct EnumDescriptor: WireMessage, Hashable {
    package struct Value: WireMessage, Hashable {
        package var name = ""
        package var number: Int32 = 0

        package init(_ name: String, _ number: Int32) {
            self.name = name
            self.number = number
        }

        package init(protobuf reader: inout ProtobufReader) throws(ProtobufError) {
            while let field = try reader.next() {
                switch (field.number, field.value) {
                case (1, .bytes(let range)): name = try reader.string(range)
                case (2, .varint(let bits)): number = Int32(truncatingIfNeeded: bits)
                default: break
                }
            }
        }

        package func write(to writer: inout ProtobufWriter) {
            writer.string(1, name)
            writer.varint(2, UInt64(bitPattern: Int64(number)))
        }
    }

    package var name = ""
    package var values: [Value] = []

    package init(_ name: String, _ values: KeyValuePairs<String, Int32>) {
        self.name = name
        self.values = values.map { Value($0.key, $0.value) }
    }

    package init(protobuf reader: inout ProtobufReader) throws(ProtobufError) {
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let range)): name = try reader.string(range)
            case (2, .bytes(let range)): values.append(try reader.nested(range))
            default: break
            }
        }
    }

    package func write(to writer: inout ProtobufWriter) {
        writer.string(1, name)
        for value in values { writer.message(2) { value.write(to: &$0) } }
    }
}

extension ProtobufReader {
    /// The message in a length-delimited field.
    func nested<Message: WireMessage>(_ range: Range<Int>) throws(ProtobufError) -> Message {
        var reader = message(range)
        return try Message(protobuf: &reader)
    }
}
