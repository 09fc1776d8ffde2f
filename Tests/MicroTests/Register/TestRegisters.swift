import Synchronization

@testable import Micro

/// A register that says what a test tells it to.
final class FedRegister: Register {
    let feed = RegisterFeed()
    private let count = Atomic(0)
    private let asked = Atomic(0)
    var watches: Int { count.load(ordering: .relaxed) }
    /// Questions beside the watches.
    var lookups: Int { asked.load(ordering: .relaxed) }
    var name: String { "scripted" }
    func describe() -> String { "the scripted register" }
    func register(_ node: ServiceNode, ttl: Duration) async throws { feed.register(node) }
    func deregister(_ node: ServiceNode) async throws { feed.deregister(node) }
    func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] {
        asked.add(1, ordering: .relaxed)
        return []
    }
    func list(namespace: String) async throws -> [ServiceRecord] { [] }
    func watch(_ service: String?, namespace: String) -> RegisterEvents {
        count.add(1, ordering: .relaxed)
        return feed.watch(service, namespace: namespace, keeping: self)
    }
    func close() async { feed.finish() }
}

/// Counts the watches of another register.
final class CountingRegister: Register {
    private let base: any Register
    private let count = Atomic(0)
    init(_ base: any Register) { self.base = base }
    var watches: Int { count.load(ordering: .relaxed) }
    var name: String { base.name }
    func describe() -> String { base.describe() }
    func register(_ node: ServiceNode, ttl: Duration) async throws {
        try await base.register(node, ttl: ttl)
    }
    func deregister(_ node: ServiceNode) async throws { try await base.deregister(node) }
    func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] {
        try await base.lookup(service, namespace: namespace)
    }
    func list(namespace: String) async throws -> [ServiceRecord] {
        try await base.list(namespace: namespace)
    }
    func watch(_ service: String?, namespace: String) -> RegisterEvents {
        count.add(1, ordering: .relaxed)
        return base.watch(service, namespace: namespace)
    }
    func close() async { await base.close() }
}
