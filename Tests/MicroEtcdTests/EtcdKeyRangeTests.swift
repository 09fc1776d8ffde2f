import Testing

@testable import MicroEtcd

@Suite struct EtcdKeyRangeTests {
    private func absolute(_ range: EtcdKeyRange, under prefix: String) -> [[UInt8]] {
        let (key, end) = range.absolute(under: Array(prefix.utf8))
        return [key, end]
    }

    private func bytes(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }

    @Test func oneKeyHasNoEnd() {
        #expect(absolute(.key("a"), under: "/p/") == bytes("/p/a", ""))
    }

    @Test func aPrefixEndsBeforeItsSuccessor() {
        #expect(absolute(.prefix("a/"), under: "") == bytes("a/", "a0"))
        #expect(absolute(.prefix("a/"), under: "/p/") == bytes("/p/a/", "/p/a0"))
        #expect(EtcdKeyRange.successor(of: [1, 0xff, 0xff]) == [2])
        #expect(EtcdKeyRange.successor(of: [0xff]) == nil)
        #expect(EtcdKeyRange.successor(of: []) == nil)
    }

    @Test func allKeysStayWithinTheClientsPrefix() {
        #expect(absolute(.prefix(""), under: "/p/") == bytes("/p/", "/p0"))
        #expect(absolute(.prefix(""), under: "") == [[0], [0]])
    }

    @Test func theRestBeginsBehindAKey() {
        #expect(
            absolute(EtcdKeyRange.prefix("a/").after(Array("a/x".utf8)), under: "p")
                == bytes("pa/x\0", "pa0"))
        #expect(
            absolute(.range(from: [1], before: [9]), under: "") == [[1], [9]])
    }
}
