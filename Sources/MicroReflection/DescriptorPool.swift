package import Micro

/// The messages, enums and services that some .proto files define, by their full names.
package struct DescriptorPool: Sendable {
    package private(set) var services: [String: ServiceDescriptor] = [:]
    private var messages: [String: MessageType] = [:]
    private var enums: [String: EnumType] = [:]

    package init(_ files: [FileDescriptor]) {
        var extensions: [FieldType] = []
        for file in files {
            let scope = file.packageName.isEmpty ? "" : file.packageName + "."
            for message in file.messages { add(message, in: scope, &extensions) }
            for item in file.enums { enums[scope + item.name] = EnumType(scope + item.name, item) }
            for service in file.services { services[scope + service.name] = service }
            extensions += file.extensions.map { FieldType($0, extensionIn: scope) }
        }
        for field in extensions {
            messages[field.descriptor.extendee.withoutLeadingDot]?.add(field)
        }
    }

    private mutating func add(
        _ message: MessageDescriptor, in scope: String, _ extensions: inout [FieldType]
    ) {
        let name = scope + message.name
        messages[name] = MessageType(name, message)
        let inner = name + "."
        for nested in message.messages { add(nested, in: inner, &extensions) }
        for item in message.enums { enums[inner + item.name] = EnumType(inner + item.name, item) }
        extensions += message.extensions.map { FieldType($0, extensionIn: inner) }
    }

    package func hasMessage(_ name: String) -> Bool {
        messages[name] != nil || WellKnownType(rawValue: name) != nil
    }

    /// A method by "package.Service/Method"; nil when its service is not here, or lacks it.
    package func method(_ path: String) -> ServiceDescriptor.Method? {
        let parts = path.split(separator: "/")
        guard parts.count == 2 else { return nil }
        return services[String(parts[0])]?.methods.first { $0.name == parts[1] }
    }

    func message(_ name: String, at path: JSONPath) throws(MicroError) -> MessageType {
        guard let type = messages[name.withoutLeadingDot] else {
            throw path.error("the message \(name.withoutLeadingDot) is not described")
        }
        return type
    }

    func enumeration(_ name: String, at path: JSONPath) throws(MicroError) -> EnumType {
        guard let type = enums[name.withoutLeadingDot] else {
            throw path.error("the enum \(name.withoutLeadingDot) is not described")
        }
        return type
    }

    /// The types of the pairs when a field is a map.
    func mapEntry(of field: FieldType) -> MessageType? {
        guard field.descriptor.kind == .message, field.isRepeated,
            let type = messages[field.typeName], type.isMapEntry
        else {
            return nil
        }
        return type
    }
}

/// A message with its fields by number and by name.
struct MessageType: Sendable {
    let name: String
    let isMapEntry: Bool
    let oneofs: [String]
    private(set) var byNumber: [UInt32: FieldType] = [:]
    private var byName: [String: FieldType] = [:]

    init(_ name: String, _ descriptor: MessageDescriptor) {
        self.name = name
        isMapEntry = descriptor.isMapEntry
        oneofs = descriptor.oneofs
        for field in descriptor.fields { add(FieldType(field)) }
    }

    /// A field whose number no message can have is none: files come from anybody.
    mutating func add(_ field: FieldType) {
        guard ProtobufWriter.fieldNumbers.contains(field.descriptor.number) else { return }
        byNumber[field.descriptor.number] = field
        byName[field.descriptor.extendee.isEmpty ? field.descriptor.name : field.jsonName] = field
        byName[field.jsonName] = field
    }

    /// By its name in JSON, or that in its file; "[package.name]" for an extension.
    subscript(name: String) -> FieldType? { byName[name] }

    /// The names in JSON, in the order of the numbers.
    var fieldNames: [String] {
        byNumber.sorted { $0.key < $1.key }.map(\.value.jsonName)
    }

    /// The oneof that a field is a choice of; nil also for one that is merely `optional`.
    func oneof(of field: FieldType) -> String? {
        guard let index = field.descriptor.oneof, oneofs.indices.contains(index),
            !field.descriptor.isProto3Optional
        else {
            return nil
        }
        return oneofs[index]
    }
}

struct FieldType: Sendable {
    let descriptor: FieldDescriptor
    let jsonName: String
    let typeName: String

    init(_ descriptor: FieldDescriptor) {
        self.descriptor = descriptor
        typeName = descriptor.typeName.withoutLeadingDot
        jsonName =
            descriptor.jsonName.isEmpty ? descriptor.name.lowerCamelCase : descriptor.jsonName
    }

    init(_ descriptor: FieldDescriptor, extensionIn scope: String) {
        self.descriptor = descriptor
        typeName = descriptor.typeName.withoutLeadingDot
        jsonName = "[\(scope)\(descriptor.name)]"
    }

    var isRepeated: Bool { descriptor.label == .repeated }
}

struct EnumType: Sendable {
    let name: String
    private let numbers: [String: Int32]
    private let names: [Int32: String]

    init(_ name: String, _ descriptor: EnumDescriptor) {
        self.name = name
        numbers = Dictionary(
            descriptor.values.map { ($0.name, $0.number) }, uniquingKeysWith: { first, _ in first })
        names = Dictionary(
            descriptor.values.map { ($0.number, $0.name) }, uniquingKeysWith: { first, _ in first })
    }

    func number(of name: String) -> Int32? { numbers[name] }
    func name(of number: Int32) -> String? { names[number] }
    var all: [String] { names.sorted { $0.key < $1.key }.map(\.value) }
}

/// Where something is in a message: "items[2].price".
struct JSONPath: Sendable {
    /// As deep as protobuf's own implementations go.
    static let depthMax = 100

    let text: String
    let depth: Int

    static let root = JSONPath(text: "", depth: 0)

    func field(_ name: String) -> JSONPath {
        JSONPath(text: text.isEmpty ? name : "\(text).\(name)", depth: depth)
    }

    func element(_ index: Int) -> JSONPath { JSONPath(text: "\(text)[\(index)]", depth: depth) }

    /// The fields of the message at this place.
    func inside() throws(MicroError) -> JSONPath {
        guard depth < Self.depthMax else {
            throw error("nested deeper than \(Self.depthMax) levels")
        }
        return JSONPath(text: text, depth: depth + 1)
    }

    func error(_ what: String) -> MicroError {
        guard !text.isEmpty else { return MicroError.invalid("protobuf", what) }
        return MicroError.invalid("protobuf", "\(text): \(what)", at: text)
    }
}
