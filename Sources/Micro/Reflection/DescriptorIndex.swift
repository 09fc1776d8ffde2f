/// The .proto files that a server can show, and which of them defines what.
struct DescriptorIndex: Sendable {
    private struct File: Sendable {
        let bytes: [UInt8]
        let descriptor: FileDescriptor
    }

    private var files: [String: File] = [:]
    /// The full name of everything that is defined, and its file's name.
    private var symbols: [String: String] = [:]
    /// By the extended message, then by number, the name of the file.
    private var extensions: [String: [UInt32: String]] = [:]

    /// Adds a file, in any order with those that it imports.
    ///
    /// - Parameter bytes: A serialized `google.protobuf.FileDescriptorProto`.
    /// - Throws: ``MicroError`` invalidArgument: it is none; it has no name; it is another one than
    ///   that which was added by this name; it defines what another one defines.
    mutating func add(_ bytes: [UInt8]) throws(MicroError) {
        let descriptor: FileDescriptor
        do {
            descriptor = try FileDescriptor(protobuf: bytes)
        } catch {
            throw MicroError.invalid(
                "reflection",
                "\(bytes.count) bytes given to describe() are no FileDescriptorProto: "
                    + "\(error.what), at byte \(error.offset)")
        }
        guard !descriptor.name.isEmpty else {
            throw MicroError.invalid("reflection", "a file given to describe() has no name")
        }
        if let known = files[descriptor.name] {
            // Options may differ from one compiler to the next: what is defined counts.
            guard known.descriptor != descriptor else { return }
            throw MicroError.invalid(
                "reflection", "two different files \"\(descriptor.name)\" are given to describe()")
        }
        try index(descriptor)
        files[descriptor.name] = File(bytes: bytes, descriptor: descriptor)
    }

    /// Adds a file unless it, or something that it defines, is known in another form.
    mutating func addUnlessKnown(_ bytes: [UInt8]) {
        var copy = self
        if (try? copy.add(bytes)) != nil { self = copy }
    }

    /// What is imported but was not added, each once.
    var missing: [String] {
        Set(files.values.flatMap(\.descriptor.dependencies).filter { files[$0] == nil }).sorted()
    }

    // MARK: Finding

    func file(containing symbol: String) -> String? { symbols[symbol] }

    func file(containing extension: UInt32, of type: String) -> String? {
        extensions[type]?[`extension`]
    }

    /// The numbers by which a message is extended; nil when there is no such message.
    func extensions(of type: String) -> [UInt32]? {
        guard symbols[type] != nil || extensions[type] != nil else { return nil }
        return extensions[type].map { $0.keys.sorted() } ?? []
    }

    /// A file and all that it imports, without what was sent before; the file itself in any case,
    /// first. Nil when there is none.
    func files(from name: String, sent: inout Set<String>) -> [[UInt8]]? {
        guard let root = files[name] else { return nil }
        sent.insert(name)
        var found = [root.bytes]
        var visited: Set<String> = [name]
        var waiting = root.descriptor.dependencies[...]
        while let next = waiting.popFirst() {
            guard visited.insert(next).inserted, let file = files[next] else { continue }
            if sent.insert(next).inserted { found.append(file.bytes) }
            waiting += file.descriptor.dependencies
        }
        return found
    }

    // MARK: Indexing

    private mutating func index(_ file: FileDescriptor) throws(MicroError) {
        let scope = file.packageName.isEmpty ? "" : file.packageName + "."
        for message in file.messages { try index(message, in: scope, file.name) }
        for item in file.enums { try index(item, in: scope, file.name) }
        for field in file.extensions { try index(extension: field, in: scope, file.name) }
        for service in file.services {
            try define(scope + service.name, file.name)
            for method in service.methods {
                try define("\(scope)\(service.name).\(method.name)", file.name)
            }
        }
    }

    private mutating func index(
        _ message: MessageDescriptor, in scope: String, _ file: String
    ) throws(MicroError) {
        try define(scope + message.name, file)
        let inner = "\(scope)\(message.name)."
        for field in message.fields { try define(inner + field.name, file) }
        for oneof in message.oneofs { try define(inner + oneof, file) }
        for nested in message.messages { try index(nested, in: inner, file) }
        for item in message.enums { try index(item, in: inner, file) }
        for field in message.extensions { try index(extension: field, in: inner, file) }
    }

    /// The values of an enum are named beside it, not in it.
    private mutating func index(
        _ item: EnumDescriptor, in scope: String, _ file: String
    ) throws(MicroError) {
        try define(scope + item.name, file)
        for value in item.values { try define(scope + value.name, file) }
    }

    private mutating func index(
        extension field: FieldDescriptor, in scope: String, _ file: String
    ) throws(MicroError) {
        try define(scope + field.name, file)
        let type = field.extendee.withoutLeadingDot
        if let other = extensions[type]?[field.number] {
            throw MicroError.invalid(
                "reflection",
                "\"\(file)\" and \"\(other)\" both extend \(type) with the number \(field.number)")
        }
        extensions[type, default: [:]][field.number] = file
    }

    private mutating func define(_ symbol: String, _ file: String) throws(MicroError) {
        if let other = symbols[symbol] {
            throw MicroError.invalid(
                "reflection",
                other == file
                    ? "\"\(file)\" defines \(symbol) twice"
                    : "\"\(file)\" and \"\(other)\" both define \(symbol)")
        }
        symbols[symbol] = file
    }
}

extension String {
    /// A full name as descriptors write it, ".package.Name", without the dot.
    package var withoutLeadingDot: String { hasPrefix(".") ? String(dropFirst()) : self }
}
