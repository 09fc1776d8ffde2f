package import Micro

extension DescriptorPool {
    /// A protobuf message as JSON, by protobuf's JSON mapping; fields that are not described are
    /// left out.
    ///
    /// - Parameters:
    ///   - type: Its full name, with or without the leading dot.
    ///   - missing: Gets the types in `google.protobuf.Any` that are not described.
    /// - Throws: ``MicroError`` internal for what is no such message.
    package func decode(
        _ bytes: [UInt8], as type: String, missing: inout Set<String>
    ) throws -> JSONValue {
        var decoder = MessageDecoder(pool: self)
        defer { missing.formUnion(decoder.missing) }
        do {
            return try decoder.message(
                ProtobufReader(bytes), type.withoutLeadingDot, .root)
        } catch let error as ProtobufError {
            throw MicroError(
                "protobuf", .internal,
                "the message is no \(type.withoutLeadingDot): \(error.what), "
                    + "at byte \(error.offset)")
        } catch let error as MicroError {
            throw MicroError("protobuf", .internal, error.detail)
        }
    }
}

/// Reads protobuf as JSON.
struct MessageDecoder {
    typealias Value = ProtobufReader.Field.Value

    let pool: DescriptorPool
    var missing: Set<String> = []

    mutating func message(
        _ reader: ProtobufReader, _ type: String, _ path: JSONPath
    ) throws -> JSONValue {
        let path = try path.inside()
        if let known = WellKnownType(rawValue: type) { return try wellKnown(reader, known, path) }
        return .object(try fields(reader, try pool.message(type, at: path), path))
    }

    mutating func fields(
        _ reader: ProtobufReader, _ type: MessageType, _ path: JSONPath
    ) throws -> [String: JSONValue] {
        var reader = reader
        var found: [UInt32: [Value]] = [:]
        while let field = try reader.next() {
            guard let known = type.byNumber[field.number] else { continue }
            if let oneof = type.oneof(of: known) {
                // The last one counts.
                for other in found.keys
                where other != field.number
                    && type.byNumber[other].flatMap({ type.oneof(of: $0) }) == oneof
                {
                    found[other] = nil
                }
            }
            found[field.number, default: []].append(field.value)
        }
        var object: [String: JSONValue] = [:]
        for (number, values) in found {
            guard let field = type.byNumber[number] else { continue }
            let path = path.field(field.jsonName)
            if let value = try self.field(field, values, reader, path) {
                object[field.jsonName] = value
            }
        }
        return object
    }

    private mutating func field(
        _ field: FieldType, _ values: [Value], _ reader: ProtobufReader, _ path: JSONPath
    ) throws -> JSONValue? {
        if let entry = pool.mapEntry(of: field) {
            return .object(try map(entry, values, reader, path))
        }
        guard field.isRepeated else {
            guard field.descriptor.kind == .message else {
                return try values.last.flatMap { try scalar(field, $0, reader, path) }
            }
            // Pieces of one message, wherever they are.
            let bytes = values.flatMap { value -> [UInt8] in
                guard case .bytes(let range) = value else { return [] }
                return reader.bytes(range)
            }
            return try message(ProtobufReader(bytes), field.typeName, path)
        }
        var elements: [JSONValue] = []
        for value in values {
            if case .bytes(let range) = value, let width = field.packedWidth {
                for value in try unpacked(reader.message(range), width) {
                    if let element = try scalar(field, value, reader, path) {
                        elements.append(element)
                    }
                }
            } else if case .bytes(let range) = value, field.descriptor.kind == .message {
                elements.append(
                    try message(
                        reader.message(range), field.typeName, path.element(elements.count)))
            } else if let element = try scalar(field, value, reader, path) {
                elements.append(element)
            }
        }
        return .array(elements)
    }

    private func unpacked(_ reader: ProtobufReader, _ width: Int) throws -> [Value] {
        var reader = reader
        var values: [Value] = []
        if width == 0 {
            while let bits = try reader.packedVarint() { values.append(.varint(bits)) }
        } else {
            while let bits = try reader.packedFixed(width) {
                values.append(
                    width == 4 ? .fixed32(UInt32(truncatingIfNeeded: bits)) : .fixed64(bits))
            }
        }
        return values
    }

    private mutating func map(
        _ entry: MessageType, _ values: [Value], _ reader: ProtobufReader, _ path: JSONPath
    ) throws -> [String: JSONValue] {
        guard let keyField = entry.byNumber[1], let valueField = entry.byNumber[2] else {
            throw path.error("\(entry.name) is not the pair of a map")
        }
        // A server may describe pairs of pairs of pairs.
        let path = try path.inside()
        var object: [String: JSONValue] = [:]
        for case .bytes(let range) in values {
            let pair = try fields(reader.message(range), entry, path)
            let key = pair[keyField.jsonName] ?? keyField.zero
            let value: JSONValue
            if let given = pair[valueField.jsonName] {
                value = given
            } else if valueField.descriptor.kind == .message {
                value = try message(ProtobufReader([]), valueField.typeName, path)
            } else {
                value = try scalar(valueField, .varint(0), reader, path) ?? valueField.zero
            }
            object[key.asMapKey] = value
        }
        return object
    }

    /// Nil when the wire has another type than the field: it is passed over, like a field that is
    /// not known.
    private func scalar(
        _ field: FieldType, _ value: Value, _ reader: ProtobufReader, _ path: JSONPath
    ) throws -> JSONValue? {
        switch (field.descriptor.kind, value) {
        case (.string, .bytes(let range)): .string(try reader.string(range))
        case (.bytes, .bytes(let range)): JSONValue(base64: reader.bytes(range))
        case (.bool, .varint(let bits)): .boolean(bits != 0)
        case (.enum, .varint(let bits)):
            try enumeration(Int32(truncatingIfNeeded: bits), field.typeName, path)
        case (.int32, .varint(let bits)): .integer(Int64(Int32(truncatingIfNeeded: bits)))
        case (.uint32, .varint(let bits)): .integer(Int64(UInt32(truncatingIfNeeded: bits)))
        case (.sint32, .varint(let bits)):
            .integer(Int64(Int32(zigzag: UInt32(truncatingIfNeeded: bits))))
        case (.int64, .varint(let bits)): .string("\(Int64(bitPattern: bits))")
        case (.uint64, .varint(let bits)): .string("\(bits)")
        case (.sint64, .varint(let bits)): .string("\(Int64(zigzag: bits))")
        case (.fixed32, .fixed32(let bits)): .integer(Int64(bits))
        case (.sfixed32, .fixed32(let bits)): .integer(Int64(Int32(bitPattern: bits)))
        case (.float, .fixed32(let bits)): JSONValue(Float(bitPattern: bits))
        case (.fixed64, .fixed64(let bits)): .string("\(bits)")
        case (.sfixed64, .fixed64(let bits)): .string("\(Int64(bitPattern: bits))")
        case (.double, .fixed64(let bits)): JSONValue(Double(bitPattern: bits))
        default: nil
        }
    }

    private func enumeration(
        _ number: Int32, _ type: String, _ path: JSONPath
    ) throws(MicroError) -> JSONValue {
        if type == WellKnownType.nullValue { return .null }
        return try pool.enumeration(type, at: path).name(of: number).map { .string($0) }
            ?? .integer(Int64(number))
    }
}

extension FieldType {
    /// The size of an element when many of them may come in one field: 0 for a varint.
    fileprivate var packedWidth: Int? {
        switch descriptor.kind {
        case .string, .bytes, .message, .group, nil: nil
        case .fixed32, .sfixed32, .float: 4
        case .fixed64, .sfixed64, .double: 8
        default: 0
        }
    }

    /// What a scalar is in JSON when it is not on the wire.
    fileprivate var zero: JSONValue {
        switch descriptor.kind {
        case .string, .bytes: .string("")
        case .bool: .boolean(false)
        case .int64, .uint64, .sint64, .fixed64, .sfixed64: .string("0")
        default: .integer(0)
        }
    }
}

extension JSONValue {
    fileprivate var asMapKey: String {
        switch self {
        case .string(let text): text
        case .integer(let number): "\(number)"
        case .boolean(let flag): "\(flag)"
        default: ""
        }
    }
}
