import Micro
import Testing

@testable import MicroRedis

/// What is put together for Redis, and read of its answers, without one.
@Suite struct RedisStorePartsTests {
    @Test func records() throws {
        let write = StoreBatch.Write(
            key: "k", value: [0, 32, 255], contentType: "text/plain",
            metadata: ["a": "b", "c-bin": "d"])
        let payload = RedisStoreRecord.payload(of: write)
        let kept = Array("17 1000 ".utf8) + payload
        let record = try #require(try RedisStoreRecord.read("k", kept, now: 900))
        #expect(record.value == write.value)
        #expect(record.contentType == "text/plain")
        #expect(record.metadata == write.metadata)
        #expect(record.version == 17)
        #expect(record.timeToLive == .microseconds(100))
        #expect(try RedisStoreRecord.read("k", kept, now: 1000) == nil)
        let forever = try RedisStoreRecord.read("k", Array("1 0 ".utf8) + payload, now: .max)
        #expect(forever?.timeToLive == nil)
        // Cut off anywhere but inside of the value, it is none.
        for end in 0..<(kept.count - 3) {
            let error = #expect(throws: MicroError.self, "\(end) bytes") {
                try RedisStoreRecord.read("k", Array(kept[..<end]), now: 900)
            }
            #expect(error?.code == .dataLoss)
        }
        let lying: [[UInt8]] = [
            [255, 255, 255, 255], [0, 0, 0, 1, 0xff, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 9, 1],
        ]
        for bytes in lying {
            #expect(throws: MicroError.self) {
                try RedisStoreRecord.read("k", Array("1 0 ".utf8) + bytes, now: 0)
            }
        }
    }

    @Test func positions() throws {
        let first = try #require(RedisStorePosition(id: "7-1"))
        let second = try #require(RedisStorePosition(id: "7-2"))
        #expect(RedisStorePosition(before: 7) < first)
        #expect(first < second && second < RedisStorePosition(behind: 7))
        #expect(RedisStorePosition(behind: 7) < RedisStorePosition(before: 8))
        #expect(first.nextID == "7-2")
        #expect(RedisStorePosition(before: 8).nextID == "8-1")
        #expect(second.revision == 7)
        // Beyond all that can come, and not around to the beginning.
        #expect(RedisStorePosition(before: .max) > RedisStorePosition(behind: 1 << 40))
        for id in ["", "-", "7", "7-", "a-1", "7-1-1", "7-9999999", "-1-1"] {
            #expect(RedisStorePosition(id: id) == nil, "\(id)")
        }
    }

    @Test func answersToBatches() throws {
        let batch = StoreBatch(
            checks: [.init(key: "c", condition: .absent)],
            operations: [
                .write(.init(key: "w", value: [1], condition: .version(3), fence: 5)),
                .delete(.init(key: "d")),
            ])
        let limits = StoreLimits()
        func result(_ word: String, _ values: [RedisValue]) throws -> StoreCommit? {
            try RedisStoreBatch.result(of: batch, word, values, limits)
        }
        #expect(
            try result("OK", [.bytes(Array("9".utf8)), .integer(1)])
                == StoreCommit(revision: 9, deleted: 1))
        let refusals: [(String, [RedisValue], MicroError.Code, String)] = [
            ("READ", [.integer(0), .bytes([0x37])], .conflict, "READ_CONFLICT"),
            ("VERSION", [.integer(0), .bytes([0x30])], .conflict, "VERSION_CONFLICT"),
            (
                "FENCE", [.integer(0), .bytes(Array("0000000000000000009".utf8))],
                .failedPrecondition, "STALE_FENCE"
            ),
            ("FULL", [.status("entries"), .bytes([0x37])], .resourceExhausted, "STORE_FULL"),
            ("FULL", [.status("bytes"), .bytes([0x37])], .resourceExhausted, "STORE_FULL"),
            ("FULL", [.status("fences"), .bytes([0x37])], .resourceExhausted, "STORE_FULL"),
        ]
        for (word, values, code, reason) in refusals {
            let error = #expect(throws: MicroError.self, "\(word)") { try result(word, values) }
            #expect(error?.code == code)
            #expect(error?.reason == reason)
        }
        let strange: [(String, [RedisValue])] = [
            ("OK", []), ("OK", [.null, .null]), ("OK", [.integer(1)]),
            ("", [.integer(1), .integer(1)]),
            ("READ", [.integer(1), .integer(1)]), ("VERSION", [.integer(2), .integer(1)]),
            ("VERSION", [.integer(-1), .integer(1)]), ("FULL", [.null, .null]),
            ("FENCE", [.integer(0), .bytes([0x78])]),
        ]
        for (word, values) in strange { #expect(try result(word, values) == nil, "\(word)") }
    }

    /// Of something that changes as it is asked, which the macro can't.
    private func check(_ isTrue: Bool, _ location: SourceLocation = #_sourceLocation) {
        #expect(isTrue, sourceLocation: location)
    }

    @Test func walks() {
        var all = RedisStoreWalk(StoreQuery(limit: 2))
        #expect(all.next?.prefix(2) == ["-", "+"])
        #expect(all.next?[3] == 3)
        check(!all.take([]))
        check(!all.take([.integer(0), .bytes([]), .array([])]))
        check(!all.take([.integer(1), .bytes([]), .array([.bytes([0xff])])]))
        let found: [RedisValue] = [.bytes([0x61]), .bytes([0x62])]
        check(all.take([.integer(0), .bytes([0x62]), .array(found)]))
        #expect(all.next?[0] == "(b")
        check(all.take([.integer(1), .bytes([0x63]), .array([.bytes([0x63])])]))
        #expect(all.next == nil)
        #expect(all.page == StorePage(keys: ["a", "b"], next: "b"))
        let prefix = RedisStoreWalk(StoreQuery(prefix: "é", after: "a"))
        #expect(prefix.next?[0] == "[é")
        #expect(prefix.next?[1].bytes == Array("(é".utf8) + [0xff])
        #expect(RedisStoreWalk(StoreQuery(prefix: "b", after: "b1")).next?[0] == "(b1")
        #expect(RedisStoreWalk(StoreQuery(prefix: "b", after: "c")).next == nil)
    }

    @Test func scriptsAreWhole() {
        // Keys and arguments are only named in their places, and nothing is put into the text.
        for script in [
            RedisStoreScripts.commit, RedisStoreScripts.list, RedisStoreScripts.page,
            RedisStoreScripts.facts,
        ] {
            #expect(script.text.hasPrefix("if redis.replicate_commands"))
            #expect(!script.text.contains("redis.call('KEYS'"))
            #expect(script.text.utf8.allSatisfy { $0 < 0x80 })
            #expect(script.hash.utf8.count == 40)
        }
    }
}
