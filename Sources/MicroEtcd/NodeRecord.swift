internal import Micro

/// A node as it stands in etcd: an object in JSON with these names. Fields that are missing have
/// their standard value, those that are not known are skipped.
struct NodeRecord: Codable, Hashable {
    var id: String
    var service: String
    var version: String?
    var namespace: String
    var addresses: [String]
    var weight: UInt32?
    var zone: String?
    var state: String?
    var metadata: [String: String]?
    var codecs: [String]?
    var methods: [EndpointRecord]?

    init(_ node: ServiceNode) {
        id = node.id
        service = node.service
        version = node.version
        namespace = node.namespace
        addresses = node.addresses
        weight = node.weight
        zone = node.zone
        state = node.state.description
        metadata = node.metadata
        codecs = node.codecs
        methods = node.methods.map(EndpointRecord.init)
    }

    var node: ServiceNode {
        var node = ServiceNode(id: id, service: service, namespace: namespace, addresses: addresses)
        if let version { node.version = version }
        if let weight { node.weight = weight }
        if let zone { node.zone = zone }
        // A state that a later version knows is none that this one may call.
        if let state { node.state = ServiceNode.State(state) ?? .starting }
        if let metadata { node.metadata = metadata }
        if let codecs { node.codecs = codecs }
        if let methods { node.methods = methods.map(\.endpoint) }
        return node
    }

    /// Larger than any node can be, whose texts have 1 MiB at most, all of it escaped.
    static let bytesMax = 8 << 20

    private static let codec = JSONCodec(maximumDepth: 8)

    static func encode(_ node: ServiceNode) throws -> [UInt8] {
        try codec.encode(NodeRecord(node))
    }

    /// The node of a key.
    ///
    /// - Throws: ``MicroError`` that says why there is none.
    static func decode(_ keyValue: EtcdKeyValue) throws -> ServiceNode {
        guard let name = RegisterKeys.Name(keyValue.key) else {
            throw MicroError.invalid(
                "register.etcd", "the key is not \"/namespace/service/id\"", at: "key")
        }
        guard keyValue.value.count <= bytesMax else {
            throw MicroError.invalid(
                "register.etcd",
                "the value has \(keyValue.value.count) bytes: more than \(bytesMax)", at: "value")
        }
        let record = try codec.decode(NodeRecord.self, from: keyValue.value.span.bytes)
        guard record.namespace == name.namespace, record.service == name.service,
            record.id == name.id
        else {
            throw MicroError.invalid(
                "register.etcd", "the value is of another node than the key says", at: "value")
        }
        let node = record.node
        try node.validate()
        return node
    }
}
