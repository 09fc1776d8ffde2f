import Micro
import Testing

@testable import MicroRedis

@Suite struct ReplyReaderTests {
    private func read(
        _ pieces: [[UInt8]], limits: ReplyReader.Limits = ReplyReader.Limits()
    ) throws -> [RedisValue] {
        let reader = try ReplyReader(limits: limits)
        var values: [RedisValue] = []
        for piece in pieces {
            try reader.feed(piece.span.bytes)
            while let value = try reader.next() { values.append(value) }
        }
        return values
    }

    private func read(_ text: String) throws -> [RedisValue] { try read([Array(text.utf8)]) }

    private let whole: [(String, RedisValue)] = [
        ("+OK\r\n", .status("OK")), ("+\r\n", .status("")), (":0\r\n", .integer(0)),
        (":-9223372036854775808\r\n", .integer(.min)),
        (":9223372036854775807\r\n", .integer(.max)), ("$-1\r\n", .null), ("*-1\r\n", .null),
        ("$0\r\n\r\n", .bytes([])), ("$5\r\na\r\n\0b\r\n", .bytes([97, 13, 10, 0, 98])),
        ("-WRONGTYPE no\r\n", .error("WRONGTYPE no")), ("*0\r\n", .array([])),
        (
            "*3\r\n*0\r\n*2\r\n:1\r\n$-1\r\n-ERR x\r\n",
            .array([.array([]), .array([.integer(1), .null]), .error("ERR x")])
        ),
    ]

    @Test func values() throws {
        for (text, value) in whole { #expect(try read(text) == [value], "\(text)") }
        let all = whole.map(\.0).joined()
        #expect(try read(all) == whole.map(\.1))
    }

    @Test func piecesOfAnySize() throws {
        let bytes = Array(whole.map(\.0).joined().utf8)
        for size in 1...17 {
            let pieces = stride(from: 0, to: bytes.count, by: size).map {
                Array(bytes[$0..<min($0 + size, bytes.count)])
            }
            #expect(try read(pieces) == whole.map(\.1))
        }
    }

    @Test func cutOffAtEachByte() throws {
        let text = "*3\r\n$3\r\nabc\r\n*1\r\n:17\r\n+fine\r\n"
        let bytes = Array(text.utf8)
        for end in 0..<bytes.count {
            #expect(try read([Array(bytes[..<end])]).isEmpty, "\(end) bytes")
        }
    }

    @Test func whatIsNoReply() throws {
        let wrong = [
            "HTTP/1.1 400 Bad Request\r\n\r\n", "\r\n", "\0", ":\r\n", ":1x\r\n",
            ":99999999999999999999\r\n", "$x\r\n", "$-2\r\n", "$\r\n", "*x\r\n", "*-2\r\n",
            "*99999999999999999999\r\n", "%1\r\n+a\r\n+b\r\n", "*1\r\n?\r\n",
        ]
        for text in wrong {
            let error = #expect(throws: MicroError.self, "\(text)") { try read(text) }
            #expect(error?.reason == RedisReason.protocolError, "\(text): \(error?.detail ?? "")")
        }
    }

    @Test func lengthsThatLie() throws {
        // More is announced than comes: it waits, and takes no memory for it.
        for text in ["$9223372036854775807\r\nabc", "$536870912\r\n", "*1000000\r\n:1\r\n"] {
            #expect(try read(text).isEmpty)
        }
        for text in ["*2147483647\r\n", "*1048577\r\n", "*2\r\n*1048575\r\n"] {
            let error = #expect(throws: MicroError.self, "\(text)") { try read(text) }
            #expect(error?.code == .resourceExhausted)
            #expect(error?.reason == RedisReason.replyTooLarge)
        }
        // The bytes are not where the length says.
        #expect(try read("$3\r\nabcde").first == .bytes(Array("abc".utf8)))
        #expect(throws: MicroError.self) { try read("$3\r\nabcdef\r\n+x\r\n") }
    }

    @Test func deepNesting() throws {
        #expect(try read(String(repeating: "*1\r\n", count: 7) + ":1\r\n").count == 1)
        for depth in [16, 1000, 100_000] {
            let text = String(repeating: "*1\r\n", count: depth)
            #expect(throws: MicroError.self) { try read(text + ":1\r\n") }
        }
    }

    @Test func limits() throws {
        let limits = ReplyReader.Limits(bytes: 100, values: 4)
        let three = Array("*3\r\n:1\r\n:2\r\n:3\r\n".utf8)
        #expect(try read([three, three, three], limits: limits).count == 3)
        let four = Array("*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n".utf8)
        #expect(throws: MicroError.self) { try read([four], limits: limits) }
        let nested = Array("*2\r\n*1\r\n:1\r\n*1\r\n:1\r\n".utf8)
        #expect(throws: MicroError.self) { try read([nested], limits: limits) }
        // Replies that are whole don't count against the next one.
        let small = Array("$80\r\n".utf8) + Array(repeating: 120, count: 80) + [13, 10]
        #expect(try read([small, small + small], limits: limits).count == 3)
        let large = Array("$200\r\n".utf8) + Array(repeating: 120, count: 100)
        let error = #expect(throws: MicroError.self) { try read([large], limits: limits) }
        #expect(error?.reason == RedisReason.replyTooLarge)
        let endless = [UInt8](repeating: UInt8(ascii: "+"), count: 200)
        #expect(throws: MicroError.self) { try read([endless], limits: limits) }
    }

    @Test func noiseIsNeverACrash() throws {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array("*$:+-0123456789\r\n\r\nabc\0".utf8)
        for _ in 0..<2000 {
            let bytes = (0..<40).map { _ in alphabet.randomElement(using: &random) ?? 0 }
            _ = try? read([bytes])
        }
    }

    @Test func commandsOnTheWire() {
        var bytes: [UInt8] = []
        RedisCommand("SET", "k\r\n", RedisArgument([0, 255]), 7).append(to: &bytes)
        let wanted = Array("*4\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$2\r\n".utf8) + [0, 255]
        #expect(bytes == wanted + Array("\r\n$1\r\n7\r\n".utf8))
        #expect(RedisCommand("get", "x").isIdempotent)
        #expect(!RedisCommand("INCR", "x").isIdempotent)
        #expect(RedisCommand("auth", "secret").name == "AUTH")
    }

    @Test func hashesOfScripts() {
        #expect(RedisScript("").hash == "da39a3ee5e6b4b0d3255bfef95601890afd80709")
        #expect(RedisScript("abc").hash == "a9993e364706816aba3e25717850c26c9cd0d89d")
        let long = RedisScript(
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
        #expect(long.hash == "84983e441c3bd26ebaae4aa1f95129e5e54670f1")
        #expect(RedisScript("return 1").hash == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db")
        let lengths = [55, 56, 63, 64, 65, 119, 120, 1000].map {
            RedisScript(String(repeating: "a", count: $0)).hash
        }
        #expect(Set(lengths).count == 8)
        #expect(lengths[7] == "291e9a6c66994949b57ba5e650361e98fc36b1ba")
    }
}
