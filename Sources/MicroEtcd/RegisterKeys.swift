internal import Micro

/// The keys of nodes, below the client's prefix: "/namespace/service/id". The names have no
/// character that would have to be escaped: a register takes no others.
enum RegisterKeys {
    /// What a key stands for.
    struct Name: Hashable {
        var namespace: String
        var service: String
        var id: String

        /// nil for a key that no node has.
        init?(_ key: [UInt8]) {
            let parts = key.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
            guard parts.count == 4, parts[0].isEmpty else { return nil }
            let names = parts.dropFirst().map { String(decoding: $0, as: UTF8.self) }
            guard names.allSatisfy(RegisterName.isValid) else { return nil }
            (namespace, service, id) = (names[0], names[1], names[2])
        }
    }

    static func key(of node: ServiceNode) -> String {
        "/\(node.namespace)/\(node.service)/\(node.id)"
    }

    /// The keys that a question or a watch has to look at: in the wildcard namespace all, also for
    /// one service.
    static func range(service: String?, namespace: String) -> EtcdKeyRange {
        guard namespace != RegisterNamespace.wildcard else { return .prefix("/") }
        guard let service else { return .prefix("/\(namespace)/") }
        return .prefix("/\(namespace)/\(service)/")
    }
}
