internal import Micro

/// What etcd holds of a range of nodes, folded from a snapshot and what changed since: pure.
struct RegisterMirror {
    /// Something that is no node, and why.
    struct Skipped: Hashable {
        var key: String
        var reason: String
    }

    /// What watchers are to be told.
    enum Change: Hashable {
        case put(ServiceNode)
        case removed(ServiceNode)
    }

    private struct Entry {
        var node: ServiceNode
        var revision: Int64
    }

    /// Nodes that are kept, at most: what more there is is skipped.
    let nodesMax: Int
    private var entries: [[UInt8]: Entry] = [:]
    /// How far it has come.
    private(set) var revision: Int64
    /// Where a watch goes on. It does not trap, whatever etcd says its revision is.
    var nextRevision: Int64 { revision &+ 1 }

    /// What was skipped since it was asked for the last time.
    private var skipped: [Skipped] = []

    init(revision: Int64, nodesMax: Int) {
        self.revision = revision
        self.nodesMax = nodesMax
    }

    /// In the order in which they were written, so that watchers are told in it.
    var nodes: [ServiceNode] {
        entries.sorted {
            ($0.value.revision, $0.key.count) < ($1.value.revision, $1.key.count)
                || ($0.value.revision, $0.key.count) == ($1.value.revision, $1.key.count)
                    && $0.key.lexicographicallyPrecedes($1.key)
        }.map(\.value.node)
    }

    mutating func takeSkipped() -> [Skipped] {
        defer { skipped = [] }
        return skipped
    }

    /// A part of the snapshot.
    mutating func load(_ keyValues: [EtcdKeyValue]) {
        for keyValue in keyValues { _ = put(keyValue) }
    }

    /// What came on the watch.
    mutating func apply(_ batch: EtcdChangeBatch) -> [Change] {
        var changes: [Change] = []
        for change in batch.changes {
            switch change {
            case .put(let keyValue): changes += put(keyValue)
            case .deleted(let key, _): changes += remove(key)
            }
        }
        if !batch.isPartial { revision = max(revision, batch.header.revision) }
        return changes
    }

    /// A value that is no node ends the one that was there.
    private mutating func put(_ keyValue: EtcdKeyValue) -> [Change] {
        let node: ServiceNode
        do {
            node = try NodeRecord.decode(keyValue)
            guard entries[keyValue.key] != nil || entries.count < nodesMax else {
                throw MicroError.resourceExhausted(
                    "register.etcd", "there are \(nodesMax) nodes already")
            }
        } catch {
            skip(keyValue.key, error)
            return remove(keyValue.key)
        }
        entries[keyValue.key] = Entry(node: node, revision: keyValue.modRevision)
        return [.put(node)]
    }

    private mutating func remove(_ key: [UInt8]) -> [Change] {
        entries.removeValue(forKey: key).map { [.removed($0.node)] } ?? []
    }

    private mutating func skip(_ key: [UInt8], _ error: any Error) {
        let reason = MicroError(error, id: "").detail
        skipped.append(
            Skipped(
                key: RegisterName.excerpt(String(decoding: key.prefix(256), as: UTF8.self)),
                reason: reason))
    }
}
