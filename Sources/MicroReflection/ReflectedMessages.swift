package import Micro

/// The messages of a server, as it describes them: what is in a `google.protobuf.Any` it is asked
/// for when it comes.
package actor ReflectedMessages {
    private let client: ReflectionClient
    private var files: [String: FileDescriptor] = [:]
    private var pool = DescriptorPool([])
    /// What was asked for, whether it was found or not.
    private var asked: Set<String> = []

    /// Asks what is behind `service`, "package.Service".
    ///
    /// - Throws: ``MicroError``: notFound when it is not described, unimplemented when the server
    ///   has no reflection.
    package init(of service: String, _ client: ReflectionClient) async throws {
        self.client = client
        add(try await client.files(defining: [service]))
    }

    /// - Throws: ``MicroError`` notFound, with what there is.
    package func method(_ path: String) throws -> ServiceDescriptor.Method {
        if let method = pool.method(path) { return method }
        let service = String(path.prefix { $0 != "/" })
        let there = pool.services[service]?.methods.map(\.name).joined(separator: ", ") ?? ""
        throw MicroError.notFound("reflection", "no method \(path): \(service) has \(there)")
    }

    /// - Throws: ``MicroError`` invalidArgument that names the field.
    package func encode(_ json: JSONValue, as type: String) async throws -> [UInt8] {
        var types: Set<String> = []
        json.collectTypes(into: &types)
        await learn(types)
        return try pool.encode(json, as: type)
    }

    package func decode(_ bytes: [UInt8], as type: String) async throws -> JSONValue {
        while true {
            var missing: Set<String> = []
            let json = try pool.decode(bytes, as: type, missing: &missing)
            guard await learn(missing) else { return json }
        }
    }

    /// - Returns: Whether something new is known.
    @discardableResult
    private func learn(_ types: Set<String>) async -> Bool {
        var hasLearned = false
        for type in types.sorted() where !pool.hasMessage(type) {
            guard asked.insert(type).inserted,
                let files = try? await client.files(defining: [type])
            else {
                continue
            }
            add(files)
            hasLearned = true
        }
        return hasLearned
    }

    private func add(_ more: [FileDescriptor]) {
        for file in more { files[file.name] = file }
        pool = DescriptorPool(Array(files.values))
    }
}

extension JSONValue {
    /// What the "@type" of objects in it say.
    fileprivate func collectTypes(into types: inout Set<String>) {
        switch self {
        case .array(let elements):
            for element in elements { element.collectTypes(into: &types) }
        case .object(let object):
            if case .string(let url) = object["@type"] { types.insert(url.typeOfURL) }
            for value in object.values { value.collectTypes(into: &types) }
        default: break
        }
    }
}
