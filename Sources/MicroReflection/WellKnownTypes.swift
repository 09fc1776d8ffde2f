internal import Micro

/// The messages that have a form of their own in JSON.
enum WellKnownType: String {
    case any = "google.protobuf.Any"
    case timestamp = "google.protobuf.Timestamp"
    case duration = "google.protobuf.Duration"
    case fieldMask = "google.protobuf.FieldMask"
    case structure = "google.protobuf.Struct"
    case value = "google.protobuf.Value"
    case list = "google.protobuf.ListValue"
    case double = "google.protobuf.DoubleValue"
    case float = "google.protobuf.FloatValue"
    case int64 = "google.protobuf.Int64Value"
    case uint64 = "google.protobuf.UInt64Value"
    case int32 = "google.protobuf.Int32Value"
    case uint32 = "google.protobuf.UInt32Value"
    case bool = "google.protobuf.BoolValue"
    case string = "google.protobuf.StringValue"
    case bytes = "google.protobuf.BytesValue"

    static let nullValue = "google.protobuf.NullValue"

    /// What a wrapper wraps, as its only field.
    var wrapped: MessageType? {
        let kind: FieldDescriptor.Kind
        switch self {
        case .double: kind = .double
        case .float: kind = .float
        case .int64: kind = .int64
        case .uint64: kind = .uint64
        case .int32: kind = .int32
        case .uint32: kind = .uint32
        case .bool: kind = .bool
        case .string: kind = .string
        case .bytes: kind = .bytes
        default: return nil
        }
        return MessageType(
            rawValue, MessageDescriptor(rawValue, [FieldDescriptor("value", 1, kind)]))
    }
}

extension MessageEncoder {
    func wellKnown(
        _ json: JSONValue, _ type: WellKnownType, _ path: JSONPath,
        to writer: inout ProtobufWriter
    ) throws(MicroError) {
        switch type {
        case .any: try any(json, path, to: &writer)
        case .timestamp:
            guard let moment = Moment(timestamp: try json.text(path)) else {
                throw path.error("a time such as \"2026-01-31T12:00:00.5Z\" is needed")
            }
            moment.write(to: &writer)
        case .duration:
            guard let moment = Moment(duration: try json.text(path)) else {
                throw path.error("a duration in seconds such as \"1.5s\" is needed")
            }
            moment.write(to: &writer)
        case .fieldMask:
            for part in try json.text(path).split(separator: ",") {
                writer.string(1, String(part).snakeCase)
            }
        case .structure: try structure(json, path, to: &writer)
        case .list: try list(json, path, to: &writer)
        case .value: try value(json, path, to: &writer)
        default:
            guard let wrapped = type.wrapped else { return }
            try fields(["value": json], wrapped, path, to: &writer)
        }
    }

    private func any(
        _ json: JSONValue, _ path: JSONPath, to writer: inout ProtobufWriter
    ) throws(MicroError) {
        guard case .object(var object) = json else {
            throw path.error("an object with \"@type\" is needed, not \(json.kind)")
        }
        if object.isEmpty { return }
        guard case .string(let url) = object.removeValue(forKey: "@type") else {
            throw path.error("\"@type\" is needed: type.googleapis.com/package.Message")
        }
        let type = url.typeOfURL
        guard pool.hasMessage(type) else {
            throw path.field("@type").error("the message \(type) is not described")
        }
        var inner = ProtobufWriter()
        if WellKnownType(rawValue: type) != nil {
            try message(object["value"] ?? .null, type, path.field("value"), to: &inner)
        } else {
            try message(.object(object), type, path, to: &inner)
        }
        writer.string(1, url)
        writer.bytes(2, inner.bytes)
    }

    private func structure(
        _ json: JSONValue, _ path: JSONPath, to writer: inout ProtobufWriter
    ) throws(MicroError) {
        guard case .object(let object) = json else {
            throw path.error("an object is needed, not \(json.kind)")
        }
        for (key, value) in object.sorted(by: { $0.key < $1.key }) {
            var inner = ProtobufWriter()
            try self.value(value, try path.field(key).inside(), to: &inner)
            writer.message(1) { entry in
                entry.string(1, key)
                entry.bytes(2, inner.bytes)
            }
        }
    }

    private func list(
        _ json: JSONValue, _ path: JSONPath, to writer: inout ProtobufWriter
    ) throws(MicroError) {
        guard case .array(let elements) = json else {
            throw path.error("a list is needed, not \(json.kind)")
        }
        for (index, element) in elements.enumerated() {
            var inner = ProtobufWriter()
            try value(element, try path.element(index).inside(), to: &inner)
            writer.bytes(1, inner.bytes)
        }
    }

    private func value(
        _ json: JSONValue, _ path: JSONPath, to writer: inout ProtobufWriter
    ) throws(MicroError) {
        var inner = ProtobufWriter()
        switch json {
        case .null: writer.varint(1, 0)
        case .boolean(let flag): writer.varint(4, flag ? 1 : 0)
        case .string(let text): writer.string(3, text)
        case .integer, .unsigned, .number:
            writer.fixed64(2, try json.float(path, Double.self).bitPattern)
        case .object:
            try structure(json, path, to: &inner)
            writer.bytes(5, inner.bytes)
        case .array:
            try list(json, path, to: &inner)
            writer.bytes(6, inner.bytes)
        }
    }
}

extension MessageDecoder {
    mutating func wellKnown(
        _ reader: ProtobufReader, _ type: WellKnownType, _ path: JSONPath
    ) throws -> JSONValue {
        switch type {
        case .any: try any(reader, path)
        case .timestamp: .string(try Moment(reader).timestamp(path))
        case .duration: .string(try Moment(reader).duration(path))
        case .fieldMask: .string(try fieldMask(reader))
        case .structure: .object(try structure(reader, path))
        case .list: .array(try list(reader, path))
        case .value: try value(reader, path)
        default: try wrapped(reader, type, path)
        }
    }

    private mutating func wrapped(
        _ reader: ProtobufReader, _ type: WellKnownType, _ path: JSONPath
    ) throws -> JSONValue {
        guard let wrapped = type.wrapped else { return .null }
        if let value = try fields(reader, wrapped, path)["value"] { return value }
        return switch type {
        case .bool: .boolean(false)
        case .string, .bytes: .string("")
        case .int64, .uint64: .string("0")
        default: .integer(0)
        }
    }

    private mutating func any(_ reader: ProtobufReader, _ path: JSONPath) throws -> JSONValue {
        var reader = reader
        var (url, bytes) = ("", [UInt8]())
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let range)): url = try reader.string(range)
            case (2, .bytes(let range)): bytes = reader.bytes(range)
            default: break
            }
        }
        guard !url.isEmpty else { return .object([:]) }
        let type = url.typeOfURL
        guard pool.hasMessage(type) else {
            missing.insert(type)
            return .object(["@type": .string(url), "value": JSONValue(base64: bytes)])
        }
        let value = try message(ProtobufReader(bytes), type, path)
        guard WellKnownType(rawValue: type) == nil, case .object(var object) = value else {
            return .object(["@type": .string(url), "value": value])
        }
        object["@type"] = .string(url)
        return .object(object)
    }

    private func fieldMask(_ reader: ProtobufReader) throws -> String {
        var reader = reader
        var parts: [String] = []
        while let field = try reader.next() {
            if case (1, .bytes(let range)) = (field.number, field.value) {
                parts.append(try reader.string(range).lowerCamelCase)
            }
        }
        return parts.joined(separator: ",")
    }

    private mutating func structure(
        _ reader: ProtobufReader, _ path: JSONPath
    ) throws -> [String: JSONValue] {
        var reader = reader
        var object: [String: JSONValue] = [:]
        while let field = try reader.next() {
            guard case (1, .bytes(let range)) = (field.number, field.value) else { continue }
            var entry = reader.message(range)
            var (key, value) = ("", JSONValue.null)
            while let part = try entry.next() {
                switch (part.number, part.value) {
                case (1, .bytes(let range)): key = try entry.string(range)
                case (2, .bytes(let range)):
                    value = try self.value(entry.message(range), path.inside())
                default: break
                }
            }
            object[key] = value
        }
        return object
    }

    private mutating func list(
        _ reader: ProtobufReader, _ path: JSONPath
    ) throws -> [JSONValue] {
        var reader = reader
        var elements: [JSONValue] = []
        while let field = try reader.next() {
            if case (1, .bytes(let range)) = (field.number, field.value) {
                elements.append(try value(reader.message(range), path.inside()))
            }
        }
        return elements
    }

    private mutating func value(
        _ reader: ProtobufReader, _ path: JSONPath
    ) throws -> JSONValue {
        var reader = reader
        var value = JSONValue.null
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .varint): value = .null
            case (2, .fixed64(let bits)): value = JSONValue(Double(bitPattern: bits))
            case (3, .bytes(let range)): value = .string(try reader.string(range))
            case (4, .varint(let bits)): value = .boolean(bits != 0)
            case (5, .bytes(let range)):
                value = .object(try structure(reader.message(range), path.inside()))
            case (6, .bytes(let range)):
                value = .array(try list(reader.message(range), path.inside()))
            default: break
            }
        }
        return value
    }
}

extension String {
    /// "package.Message" of "type.googleapis.com/package.Message".
    package var typeOfURL: String { split(separator: "/").last.map(String.init) ?? "" }

    /// "readOnly" as "read_only".
    fileprivate var snakeCase: String {
        var result = ""
        for character in self {
            if character.isUppercase { result += "_" }
            result += character.lowercased()
        }
        return result
    }
}
