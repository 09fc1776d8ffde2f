/// Nodes as JSON, the way people write them into a file and HTTP servers list them:
///
/// ```json
/// {"nodes": [{
///   "service": "greeter", "id": "greeter-1", "version": "1.2.0", "namespace": "micro",
///   "addresses": ["tcp://10.0.0.7:4711"], "weight": 100, "zone": "eu-1", "state": "ready",
///   "metadata": {"rack": "7"}, "codecs": ["json"],
///   "methods": [{"name": "Greeter.Hello", "request": "HelloRequest", "reply": "HelloReply"}]
/// }]}
/// ```
/// A node needs `service` and `addresses`, or `address` for a single one. What is left out is as
/// when a ``ServiceNode`` is made without it, and the id is the first address without its scheme,
/// with '-' for what an id can't have.
struct NodeDocument {
    /// How strange a document may be.
    struct Rules {
        /// Whose nodes they are when a node does not say; nil: each has to.
        var service: String?
        /// Whether fields with other names are passed over; otherwise they are an error.
        var ignoresOthers = false
        /// What an address begins with that has no scheme: "tcp://"; nil: that is an error.
        var scheme: String?
    }

    private let rules: Rules

    /// - Returns: In the order of the document; each is valid, and each id there once within its
    ///   service.
    /// - Throws: ``MicroError`` `invalidArgument` with the place, "nodes[2].weight", in its text
    ///   and in `metadata["field"]`.
    static func nodes(_ json: [UInt8], rules: Rules = Rules()) throws -> [ServiceNode] {
        try NodeDocument(rules: rules).nodes(in: try JSONValue(json: json))
    }

    private func nodes(in document: JSONValue) throws -> [ServiceNode] {
        let top = try Fields(document, at: "", rules)
        try top.check(["nodes"])
        var keys: Set<ServiceNode.Key> = []
        return try top.list("nodes").map { value, place in
            let node = try node(value, at: place)
            guard keys.insert(node.key).inserted else {
                throw fault(
                    "\(node.service) has another node \(node.id): each needs an id of its own",
                    at: place + ".id")
            }
            return node
        }
    }

    private func node(_ value: JSONValue, at place: String) throws -> ServiceNode {
        let fields = try Fields(value, at: place, rules)
        try fields.check([
            "id", "service", "version", "namespace", "address", "addresses", "weight", "zone",
            "state", "metadata", "codecs", "methods",
        ])
        let addresses = try addresses(fields)
        guard let first = addresses.first else {
            throw fault("a node needs an address", at: place + ".addresses")
        }
        guard let service = try fields.text("service") ?? rules.service else {
            throw fault("a node needs the name of its service", at: place + ".service")
        }
        var node = ServiceNode(
            id: try fields.text("id") ?? NodeDocument.id(first), service: service,
            addresses: addresses)
        if let version = try fields.text("version") { node.version = version }
        if let namespace = try fields.text("namespace") { node.namespace = namespace }
        if let weight = try fields.number("weight") { node.weight = weight }
        if let zone = try fields.text("zone") { node.zone = zone }
        if let state = try fields.text("state") {
            guard let known = ServiceNode.State(state) else {
                throw fault(
                    "\(RegisterName.excerpt(state)) is not \"starting\", \"ready\" or"
                        + " \"draining\"", at: place + ".state")
            }
            node.state = known
        }
        node.metadata = try fields.texts("metadata")
        node.codecs = try fields.textList("codecs")
        node.methods = try fields.list("methods").map { try method($0, at: $1) }
        do {
            try node.validate()
        } catch let error as MicroError {
            throw fault(error.detail, at: place + "." + (error.metadata["field"] ?? "id"))
        }
        return node
    }

    private func method(_ value: JSONValue, at place: String) throws -> EndpointDescription {
        let fields = try Fields(value, at: place, rules)
        try fields.check(["name", "request", "reply", "metadata"])
        guard let name = try fields.text("name") else {
            throw fault("a method needs a name", at: place + ".name")
        }
        return EndpointDescription(
            name: name, request: try fields.text("request") ?? "",
            reply: try fields.text("reply") ?? "", metadata: try fields.texts("metadata"))
    }

    private func addresses(_ fields: Fields) throws -> [String] {
        let all = try fields.textList("addresses")
        guard let one = try fields.text("address") else { return all.map(withScheme) }
        guard all.isEmpty else {
            throw fault("a node has either address or addresses", at: fields.place + ".address")
        }
        return [withScheme(one)]
    }

    private func withScheme(_ address: String) -> String {
        guard let scheme = rules.scheme, !address.contains("://") else { return address }
        return scheme + address
    }

    /// "10.0.0.7-4711" for "tcp://10.0.0.7:4711".
    static func id(_ address: String) -> String {
        let place = address.firstRange(of: "://").map { address[$0.upperBound...] } ?? address[...]
        return RegisterName.made(of: place)
    }
}

/// The fields of an object, and where it stands.
private struct Fields {
    let place: String
    private let values: [String: JSONValue]
    private let rules: NodeDocument.Rules

    init(_ value: JSONValue, at place: String, _ rules: NodeDocument.Rules) throws {
        guard case .object(let values) = value else {
            throw fault("\(value.kind) stands where an object has to", at: place)
        }
        self.place = place
        self.values = values
        self.rules = rules
    }

    /// Refuses fields with other names: a typing error is found, and not passed over.
    func check(_ names: [String]) throws {
        guard !rules.ignoresOthers else { return }
        for name in values.keys.sorted() where !names.contains(name) {
            throw fault(
                "there is no such field: known are \(names.joined(separator: ", "))",
                at: path(RegisterName.isValid(name) ? name : RegisterName.excerpt(name)))
        }
    }

    func text(_ name: String) throws -> String? {
        switch values[name] {
        case nil: return nil
        case .null where rules.ignoresOthers: return nil
        case .string(let text): return text
        case .some(let value): throw wrong(value, "a string", at: path(name))
        }
    }

    func number(_ name: String) throws -> UInt32? {
        switch values[name] {
        case nil: return nil
        case .integer(let value): return UInt32(clamping: value)
        case .some(let value): throw wrong(value, "a whole number", at: path(name))
        }
    }

    func texts(_ name: String) throws -> [String: String] {
        guard let value = values[name], value != .null || !rules.ignoresOthers else { return [:] }
        guard case .object(let entries) = value else {
            throw wrong(value, "an object", at: path(name))
        }
        return try entries.reduce(into: [:]) { texts, entry in
            guard case .string(let text) = entry.value else {
                throw wrong(
                    entry.value, "a string",
                    at: "\(path(name))[\(RegisterName.excerpt(entry.key))]")
            }
            texts[entry.key] = text
        }
    }

    func textList(_ name: String) throws -> [String] {
        try list(name).map { value, place in
            guard case .string(let text) = value else { throw wrong(value, "a string", at: place) }
            return text
        }
    }

    /// The elements and where each stands.
    func list(_ name: String) throws -> [(JSONValue, String)] {
        guard let value = values[name], value != .null || !rules.ignoresOthers else { return [] }
        guard case .array(let elements) = value else {
            throw wrong(value, "a list", at: path(name))
        }
        return elements.enumerated().map { ($1, "\(path(name))[\($0)]") }
    }

    private func path(_ name: String) -> String { place.isEmpty ? name : "\(place).\(name)" }

    private func wrong(_ value: JSONValue, _ right: String, at place: String) -> MicroError {
        fault("\(value.kind) stands where \(right) has to", at: place)
    }
}

private func fault(_ detail: String, at place: String) -> MicroError {
    .invalid("register", place.isEmpty ? detail : "\(place): \(detail)", at: place)
}
