/// A node as the TXT record of a service (RFC 6763, 6): strings "key=value", of which the first
/// with a key counts.
///
/// `txtvers` is 1. `service` and `id` are always there, the rest when it is not as usual: `version`
/// ("latest"), `ns` ("micro"), `zone`, `weight` (100), `state` (ready), `addresses` and `codecs`
/// with blanks between, `metadata` and `methods` as JSON, and `machine`, by which those who get it
/// know whether addresses that are good on one machine only are good for them. What does not fit
/// into the 255 bytes of one string goes on in `key.1`, `key.2` and so on.
enum MDNSText {
    /// So much fits into an Ethernet packet with the other records; methods are left out for it.
    static let usualBytes = 1_200
    /// More is not published.
    static let bytesMax = 4_000

    static let addressKey = "addresses"

    // MARK: Writing

    /// - Parameter addresses: Those of the node that others may know of.
    /// - Throws: ``MicroError`` `invalidArgument` when it is too much.
    static func encode(
        _ node: ServiceNode, addresses: [String], machine: String
    ) throws -> [[UInt8]] {
        // In this order: schemas are large, and methods are asked for by reflection as well.
        let plain = node.methods.map {
            EndpointDescription(name: $0.name, request: $0.request, reply: $0.reply)
        }
        for methods in [node.methods, plain] {
            let strings = try encode(node, addresses, machine, methods)
            if size(strings) <= usualBytes { return strings }
        }
        let strings = try encode(node, addresses, machine, [])
        guard size(strings) <= bytesMax else {
            throw MicroError.invalid(
                "register",
                "node \(node.id) has \(size(strings)) bytes of text, and multicast DNS carries"
                    + " \(bytesMax): it needs less metadata", at: "metadata")
        }
        return strings
    }

    private static func size(_ strings: [[UInt8]]) -> Int {
        strings.reduce(0) { $0 + $1.count + 1 }
    }

    private static func encode(
        _ node: ServiceNode, _ addresses: [String], _ machine: String,
        _ methods: [EndpointDescription]
    ) throws -> [[UInt8]] {
        var strings: [[UInt8]] = [Array("txtvers=1".utf8)]
        func add(_ key: String, _ value: [UInt8]) {
            var rest = value[...]
            var part = 0
            repeat {
                let name = Array((part == 0 ? "\(key)=" : "\(key).\(part)=").utf8)
                let piece = rest.prefix(255 - name.count)
                strings.append(name + piece)
                rest = rest.dropFirst(piece.count)
                part += 1
            } while !rest.isEmpty
        }
        func add(_ key: String, _ value: String, usually usual: String = "") {
            if value != usual { add(key, Array(value.utf8)) }
        }
        add("service", node.service)
        add("id", node.id)
        add("version", node.version, usually: "latest")
        add("ns", node.namespace, usually: RegisterNamespace.standard)
        add("zone", node.zone)
        add("weight", "\(node.weight)", usually: "100")
        add("state", "\(node.state)", usually: "ready")
        add(addressKey, addresses.joined(separator: " "))
        add("machine", machine)
        add("codecs", try list(node.codecs))
        if !node.metadata.isEmpty { add("metadata", try JSONCodec.standard.encode(node.metadata)) }
        if !methods.isEmpty {
            add("methods", try JSONCodec.standard.encode(methods.map(EndpointRecord.init)))
        }
        return strings
    }

    /// With blanks between; as JSON when one has a blank.
    private static func list(_ texts: [String]) throws -> String {
        let isPlain = texts.allSatisfy { !$0.isEmpty && !$0.contains(" ") && !$0.hasPrefix("[") }
        if isPlain { return texts.joined(separator: " ") }
        return String(decoding: try JSONCodec.standard.encode(texts), as: UTF8.self)
    }

    // MARK: Reading

    /// The node, and the machine that it says it is on. nil for what is no node: a stranger's
    /// service without a `service`, or nonsense.
    ///
    /// - Parameters:
    ///   - id: Of one that does not say.
    ///   - addresses: Likewise.
    static func decode(
        _ strings: [[UInt8]], id: String, addresses: [String]
    ) -> (node: ServiceNode, machine: String)? {
        let values = values(strings)
        guard let service = values["service"] else { return nil }
        var node = ServiceNode(
            id: values["id"] ?? id, service: service,
            addresses: values[addressKey].map(words) ?? addresses)
        if let version = values["version"] { node.version = version }
        if let namespace = values["ns"] { node.namespace = namespace }
        if let zone = values["zone"] { node.zone = zone }
        if let weight = values["weight"] { node.weight = UInt32(weight) ?? 0 }
        // A state that a later version knows is none that this one may call.
        if let state = values["state"] { node.state = ServiceNode.State(state) ?? .starting }
        do {
            if let codecs = values["codecs"] { node.codecs = try readList(codecs) }
            if let metadata = values["metadata"] {
                node.metadata = try read([String: String].self, metadata)
            }
            if let methods = values["methods"] {
                node.methods = try read([EndpointRecord].self, methods).map(\.endpoint)
            }
            try node.validate()
        } catch {
            return nil
        }
        return (node, values["machine"] ?? "")
    }

    /// The values by their keys in lower case, pieces put together again.
    private static func values(_ strings: [[UInt8]]) -> [String: String] {
        var pieces: [String: ArraySlice<UInt8>] = [:]
        for string in strings {
            guard let equals = string.firstIndex(of: UInt8(ascii: "=")), equals > 0 else {
                continue
            }
            let key = String(decoding: string[..<equals], as: UTF8.self).lowercased()
            if pieces[key] == nil { pieces[key] = string[(equals + 1)...] }
        }
        return pieces.reduce(into: [:]) { values, piece in
            var whole = Array(piece.value)
            var part = 1
            while let more = pieces["\(piece.key).\(part)"] {
                whole += more
                part += 1
            }
            values[piece.key] = String(decoding: whole, as: UTF8.self)
        }
    }

    private static func words(_ text: String) -> [String] {
        text.split(separator: " ").map(String.init)
    }

    private static func readList(_ text: String) throws -> [String] {
        text.hasPrefix("[") ? try read([String].self, text) : words(text)
    }

    private static func read<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> Value {
        let bytes = Array(text.utf8)
        return try JSONCodec.standard.decode(type, from: bytes.span.bytes)
    }
}

/// Names of instances.
enum MDNSName {
    static let bytesMax = 63

    /// "greeter-1@greeter", with "/test" behind it in another namespace than the usual one: no two
    /// nodes have the same. What is too long is cut, and ends with a number made of all of it.
    static func instance(_ key: ServiceNode.Key) -> String {
        let isUsual = key.namespace == RegisterNamespace.standard
        let whole = "\(key.id)@\(key.service)" + (isUsual ? "" : "/\(key.namespace)")
        guard whole.utf8.count > bytesMax else { return whole }
        let number = digest(whole)
        return whole.prefix(bytesMax - number.utf8.count - 1) + "~" + number
    }

    /// "_greeter"; empty when the name is too long for a label.
    static func subtype(_ service: String) -> String {
        service.utf8.count < bytesMax ? "_" + service : ""
    }

    /// FNV-1a of 64 bits, as hexadecimal digits.
    static func digest(_ text: String) -> String {
        let hash = text.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
            ($0 ^ UInt64($1)) &* 0x100_0000_01b3
        }
        return String(hash, radix: 16)
    }
}
