package import Micro

extension DescriptorPool {
    /// The protobuf form of a message in JSON, by protobuf's JSON mapping.
    ///
    /// - Parameter type: Its full name, with or without the leading dot.
    /// - Throws: ``MicroError`` invalidArgument that names the field.
    package func encode(_ json: JSONValue, as type: String) throws -> [UInt8] {
        var writer = ProtobufWriter()
        try MessageEncoder(pool: self).message(
            json, type.withoutLeadingDot, .root, to: &writer)
        return writer.bytes
    }
}

/// Writes JSON as protobuf.
struct MessageEncoder {
    let pool: DescriptorPool

    func message(
        _ json: JSONValue, _ type: String, _ path: JSONPath, to writer: inout ProtobufWriter
    ) throws(MicroError) {
        let path = try path.inside()
        if let known = WellKnownType(rawValue: type) {
            return try wellKnown(json, known, path, to: &writer)
        }
        guard case .object(let object) = json else {
            throw path.error("\(type) is an object in JSON, not \(json.kind)")
        }
        try fields(object, try pool.message(type, at: path), path, to: &writer)
    }

    func fields(
        _ object: [String: JSONValue], _ type: MessageType, _ path: JSONPath,
        to writer: inout ProtobufWriter
    ) throws(MicroError) {
        var given: [(field: FieldType, value: JSONValue, path: JSONPath)] = []
        for (name, value) in object {
            guard let field = type[name] else { throw unknown(name, type, path) }
            given.append((field, value, path.field(name)))
        }
        given.sort { $0.field.descriptor.number < $1.field.descriptor.number }
        var last: UInt32 = 0
        var chosen: [String: String] = [:]
        for (field, value, path) in given {
            guard field.descriptor.number != last else {
                throw path.error("the field is given twice, by both of its names")
            }
            last = field.descriptor.number
            guard value != .null || field.acceptsNull else { continue }
            if let oneof = type.oneof(of: field),
                let other = chosen.updateValue(field.jsonName, forKey: oneof)
            {
                throw path.error("only one of \(oneof) may be given, and \(other) is")
            }
            try self.field(field, value, path, to: &writer)
        }
    }

    private func unknown(_ name: String, _ type: MessageType, _ path: JSONPath) -> MicroError {
        let names = type.fieldNames
        return path.field(name).error(
            names.isEmpty
                ? "\(type.name) has no fields"
                : "\(type.name) has no such field: it has \(names.joined(separator: ", "))")
    }

    private func field(
        _ field: FieldType, _ value: JSONValue, _ path: JSONPath, to writer: inout ProtobufWriter
    ) throws(MicroError) {
        if let entry = pool.mapEntry(of: field) {
            return try map(field, entry, value, path, to: &writer)
        }
        guard field.isRepeated else { return try single(field, value, path, to: &writer) }
        guard case .array(let elements) = value else {
            throw path.error("a list is needed, not \(value.kind)")
        }
        // One by one, which every implementation reads, whatever the file says about packing.
        for (index, element) in elements.enumerated() {
            let path = path.element(index)
            guard element != .null || field.acceptsNull else {
                throw path.error("null can't be an element")
            }
            try single(field, element, path, to: &writer)
        }
    }

    private func map(
        _ field: FieldType, _ entry: MessageType, _ value: JSONValue, _ path: JSONPath,
        to writer: inout ProtobufWriter
    ) throws(MicroError) {
        guard case .object(let object) = value else {
            throw path.error("an object is needed, not \(value.kind)")
        }
        guard let keyField = entry.byNumber[1], let valueField = entry.byNumber[2] else {
            throw path.error("\(entry.name) is not the pair of a map")
        }
        for (key, value) in object.sorted(by: { $0.key < $1.key }) {
            let path = path.field(key)
            guard value != .null || valueField.acceptsNull else {
                throw path.error("null can't be a value")
            }
            var pair = ProtobufWriter()
            try single(keyField, keyField.mapKey(key), path, to: &pair)
            try single(valueField, value, path, to: &pair)
            writer.bytes(field.descriptor.number, pair.bytes)
        }
    }

    private func single(
        _ field: FieldType, _ value: JSONValue, _ path: JSONPath, to writer: inout ProtobufWriter
    ) throws(MicroError) {
        let number = field.descriptor.number
        switch field.descriptor.kind {
        case .message:
            var inner = ProtobufWriter()
            try message(value, field.typeName, path, to: &inner)
            writer.bytes(number, inner.bytes)
        case .enum: writer.varint(number, try enumeration(value, field.typeName, path))
        case .string: writer.string(number, try value.text(path))
        case .bytes: writer.bytes(number, try value.base64Bytes(path))
        case .bool: writer.varint(number, try value.flag(path) ? 1 : 0)
        case .double: writer.fixed64(number, try value.float(path, Double.self).bitPattern)
        case .float: writer.fixed32(number, try value.float(path, Float.self).bitPattern)
        case .int32: writer.varint(number, UInt64(bitPattern: Int64(try value.int32(path))))
        case .int64: writer.varint(number, UInt64(bitPattern: try value.whole(path)))
        case .uint32: writer.varint(number, UInt64(try value.whole(path, UInt32.self)))
        case .uint64: writer.varint(number, try value.whole(path))
        case .sint32: writer.varint(number, UInt64(try value.int32(path).zigzag))
        case .sint64: writer.varint(number, try value.whole(path, Int64.self).zigzag)
        case .fixed32: writer.fixed32(number, try value.whole(path))
        case .fixed64: writer.fixed64(number, try value.whole(path))
        case .sfixed32: writer.fixed32(number, UInt32(bitPattern: try value.int32(path)))
        case .sfixed64: writer.fixed64(number, UInt64(bitPattern: try value.whole(path)))
        case .group: throw path.error("groups can't be sent")
        case nil: throw path.error("the field is of a kind that is not known")
        }
    }

    private func enumeration(
        _ value: JSONValue, _ type: String, _ path: JSONPath
    ) throws(MicroError) -> UInt64 {
        if type == WellKnownType.nullValue { return 0 }
        guard case .string(let name) = value else {
            return UInt64(bitPattern: Int64(try value.int32(path)))
        }
        let type = try pool.enumeration(type, at: path)
        guard let number = type.number(of: name) ?? Int32(name) else {
            throw path.error(
                "\(type.name) has no \"\(name)\": it has \(type.all.joined(separator: ", "))")
        }
        return UInt64(bitPattern: Int64(number))
    }
}

extension FieldType {
    /// Whether null is a value of it; else a field with null is one that is not given.
    fileprivate var acceptsNull: Bool {
        typeName == WellKnownType.value.rawValue || typeName == WellKnownType.nullValue
    }

    /// The names of a JSON object are strings, the keys of a map need not be.
    fileprivate func mapKey(_ text: String) -> JSONValue {
        guard descriptor.kind == .bool, text == "true" || text == "false" else {
            return .string(text)
        }
        return .boolean(text == "true")
    }
}
