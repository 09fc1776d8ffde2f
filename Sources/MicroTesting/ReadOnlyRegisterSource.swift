public import Micro
internal import Synchronization

/// A register that is only read, and where its nodes come from: for ``RegisterConformance``.
public struct ReadOnlyRegisterSource: Sendable {
    /// The register to be checked. It finds nothing yet.
    public var register: any Register
    /// Makes these nodes, and no others, the ones that are there.
    public var write: @Sendable ([ServiceNode]) async throws -> Void

    /// - Parameters:
    ///   - register: The register to be checked.
    ///   - write: Makes these nodes, and no others, the ones that are there. One call at a time.
    public init(
        register: any Register, write: @escaping @Sendable ([ServiceNode]) async throws -> Void
    ) {
        self.register = register
        self.write = write
    }
}

/// Lets the checks announce nodes: they are written to the source, and waited for in the register.
final class EditedRegister: Register {
    private let source: ReadOnlyRegisterSource
    private let environment: Environment
    private let patience: Duration
    private let nodes = Mutex<[ServiceNode]>([])

    init(_ source: ReadOnlyRegisterSource, environment: Environment, patience: Duration) {
        self.source = source
        self.environment = environment
        self.patience = patience
    }

    var name: String { source.register.name }

    func describe() -> String { source.register.describe() }

    func register(_ node: ServiceNode, ttl: Duration) async throws {
        try node.validate()
        try await write(changing: node) { $0.append(node) }
        try await wait(for: "node \(node.id) came, or changed") {
            try await self.lookup(node.service, namespace: node.namespace).contains(node)
        }
    }

    func deregister(_ node: ServiceNode) async throws {
        try await write(changing: node) { _ in }
        try await wait(for: "node \(node.id) went") {
            try await !self.lookup(node.service, namespace: node.namespace)
                .contains { $0.id == node.id }
        }
    }

    func lookup(_ service: String, namespace: String) async throws -> [ServiceNode] {
        try await source.register.lookup(service, namespace: namespace)
    }

    func list(namespace: String) async throws -> [ServiceRecord] {
        try await source.register.list(namespace: namespace)
    }

    func watch(_ service: String?, namespace: String) -> RegisterEvents {
        source.register.watch(service, namespace: namespace)
    }

    func close() async { await source.register.close() }

    private func write(
        changing node: ServiceNode, _ add: @Sendable (inout [ServiceNode]) -> Void
    ) async throws {
        // A register that is closed says so.
        _ = try await lookup(node.service, namespace: node.namespace)
        let now = nodes.withLock { nodes in
            nodes.removeAll {
                ($0.namespace, $0.service, $0.id) == (node.namespace, node.service, node.id)
            }
            add(&nodes)
            return nodes
        }
        try await source.write(now)
    }

    private func wait(
        for what: String, _ isThere: @escaping @Sendable () async throws -> Bool
    ) async throws {
        let clock = environment.clock
        let done: Void? = try await within(patience, environment) {
            while try await !isThere() { try await clock.sleep(for: .milliseconds(5)) }
        }
        guard done != nil else {
            throw MicroError(
                "conformance", .deadlineExceeded, "after \(patience) not seen: \(what)")
        }
    }
}
