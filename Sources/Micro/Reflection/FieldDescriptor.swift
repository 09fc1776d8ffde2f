/// `google.protobuf.FieldDescriptorProto`
package struct FieldDescriptor: WireMessage, Hashable {
    /// The numbers of `google.protobuf.FieldDescriptorProto.Type`.
    package enum Kind: UInt64, Sendable {
        case double = 1
        case float, int64, uint64, int32, fixed64, fixed32, bool, string, group, message, bytes
        case uint32, `enum`, sfixed32, sfixed64, sint32, sint64
    }

    package enum Label: UInt64, Sendable {
        case optional = 1
        case required, repeated
    }

    package var name = ""
    package var number: UInt32 = 0
    package var label = Label.optional
    /// Nil for a kind that was invented later.
    package var kind: Kind?
    /// The message or the enum, ".package.Name"; "" for the other kinds.
    package var typeName = ""
    /// The message that an extension extends, ".package.Name".
    package var extendee = ""
    /// Its name in JSON; "" when the file does not say.
    package var jsonName = ""
    /// Which of the message's oneofs it belongs to.
    package var oneof: Int?
    package var isProto3Optional = false
    /// What the file says about packing; nil: the default of its syntax.
    package var isPacked: Bool?

    package init(
        _ name: String, _ number: UInt32, _ kind: Kind, _ typeName: String = "",
        label: Label = .optional, oneof: Int? = nil
    ) {
        self.name = name
        self.number = number
        self.kind = kind
        self.typeName = typeName
        self.label = label
        self.oneof = oneof
        jsonName = name.lowerCamelCase
    }

    package init(protobuf reader: inout ProtobufReader) throws(ProtobufError) {
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let range)): name = try reader.string(range)
            case (2, .bytes(let range)): extendee = try reader.string(range)
            case (3, .varint(let bits)): number = UInt32(truncatingIfNeeded: bits)
            case (4, .varint(let bits)): label = Label(rawValue: bits) ?? .optional
            case (5, .varint(let bits)): kind = Kind(rawValue: bits)
            case (6, .bytes(let range)): typeName = try reader.string(range)
            case (8, .bytes(let range)): try readOptions(reader.message(range))
            case (9, .varint(let bits)): oneof = Int(Int32(truncatingIfNeeded: bits))
            case (10, .bytes(let range)): jsonName = try reader.string(range)
            case (17, .varint(let flag)): isProto3Optional = flag != 0
            default: break
            }
        }
    }

    private mutating func readOptions(_ reader: ProtobufReader) throws(ProtobufError) {
        var reader = reader
        while let field = try reader.next() {
            if case (2, .varint(let flag)) = (field.number, field.value) { isPacked = flag != 0 }
        }
    }

    package func write(to writer: inout ProtobufWriter) {
        writer.string(1, name)
        if !extendee.isEmpty { writer.string(2, extendee) }
        writer.varint(3, UInt64(number))
        writer.varint(4, label.rawValue)
        if let kind { writer.varint(5, kind.rawValue) }
        if !typeName.isEmpty { writer.string(6, typeName) }
        if let isPacked { writer.message(8) { $0.varint(2, isPacked ? 1 : 0) } }
        if let oneof { writer.varint(9, UInt64(bitPattern: Int64(oneof))) }
        if !jsonName.isEmpty { writer.string(10, jsonName) }
        if isProto3Optional { writer.varint(17, 1) }
    }
}

extension String {
    /// The name that a field has in JSON unless its file says otherwise: "read_only" is "readOnly".
    package var lowerCamelCase: String {
        var result = ""
        var isUpper = false
        for character in self {
            if character == "_" {
                isUpper = true
            } else {
                result += isUpper ? character.uppercased() : String(character)
                isUpper = false
            }
        }
        return result
    }
}
