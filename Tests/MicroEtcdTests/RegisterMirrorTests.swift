import Micro
import Testing

@testable import MicroEtcd

@Suite struct RegisterMirrorTests {
    private func node(_ id: String, weight: UInt32 = 100) -> ServiceNode {
        ServiceNode(id: id, service: "apples", addresses: ["tcp://h:1"], weight: weight)
    }

    private func value(_ node: ServiceNode, _ revision: Int64) throws -> EtcdKeyValue {
        EtcdKeyValue(
            key: Array(RegisterKeys.key(of: node).utf8), value: try NodeRecord.encode(node),
            modRevision: revision)
    }

    private func batch(
        _ revision: Int64, _ changes: [EtcdChange], isPartial: Bool = false
    ) -> EtcdChangeBatch {
        EtcdChangeBatch(
            header: EtcdHeader(revision: revision), changes: changes,
            isPartial: isPartial)
    }

    private func deletion(_ id: String, _ revision: Int64) -> EtcdChange {
        .deleted(key: Array(RegisterKeys.key(of: node(id)).utf8), revision: revision)
    }

    @Test func aSnapshotIsInTheOrderOfItsRevisions() throws {
        var mirror = RegisterMirror(revision: 9, nodesMax: 10)
        mirror.load([try value(node("a"), 7), try value(node("b"), 3)])
        mirror.load([try value(node("c"), 5)])
        #expect(mirror.nodes.map(\.id) == ["b", "c", "a"])
        #expect(mirror.revision == 9)
        #expect(mirror.nextRevision == 10)
        #expect(RegisterMirror(revision: .max, nodesMax: 1).nextRevision == .min)
        #expect(mirror.takeSkipped().isEmpty)
    }

    @Test func changesAreAppliedInOrder() throws {
        var mirror = RegisterMirror(revision: 1, nodesMax: 10)
        let changes = mirror.apply(
            batch(
                4,
                [
                    .put(try value(node("a"), 2)), .put(try value(node("a", weight: 5), 3)),
                    deletion("b", 4),
                ]))
        #expect(changes == [.put(node("a")), .put(node("a", weight: 5))])
        #expect(mirror.revision == 4)
        #expect(mirror.apply(batch(5, [deletion("a", 5)])) == [.removed(node("a", weight: 5))])
        #expect(mirror.nodes.isEmpty)
        #expect(mirror.apply(batch(8, [])) == [])  // only how far etcd is
        #expect(mirror.revision == 8)
        // Part of a revision does not count as having it.
        _ = mirror.apply(batch(9, [.put(try value(node("c"), 9))], isPartial: true))
        #expect(mirror.revision == 8)
    }

    @Test func whatIsNoNodeIsSkippedAndEndsTheNodeThatWasThere() throws {
        var mirror = RegisterMirror(revision: 1, nodesMax: 10)
        mirror.load([try value(node("a"), 1)])
        var bad = try value(node("a"), 2)
        bad.value = [0xff]
        let foreign = EtcdKeyValue(key: [0xff, 0], value: [1])
        #expect(mirror.apply(batch(2, [.put(bad), .put(foreign)])) == [.removed(node("a"))])
        let skipped = mirror.takeSkipped()
        #expect(skipped.count == 2)
        #expect(skipped.first?.key == "\"/micro/apples/a\"")
        #expect(mirror.takeSkipped().isEmpty)
        #expect(mirror.apply(batch(3, [.put(try value(node("a"), 3))])) == [.put(node("a"))])
    }

    @Test func thereIsALimit() throws {
        var mirror = RegisterMirror(revision: 1, nodesMax: 2)
        mirror.load(try ["a", "b", "c"].map { try value(node($0), 1) })
        #expect(mirror.nodes.map(\.id) == ["a", "b"])
        #expect(mirror.takeSkipped().count == 1)
        // Those that are known may change.
        let changed = node("b", weight: 3)
        #expect(mirror.apply(batch(2, [.put(try value(changed, 2))])) == [.put(changed)])
    }
}
