import Testing

@testable import Micro

@Suite struct PlainCodecTests {
    @Test func bytes() throws {
        let codec = BytesCodec()
        #expect(codec.name == "bytes")
        #expect(codec.contentType.description == "application/octet-stream")
        #expect(
            codec.canCarry([UInt8].self) && !codec.canCarry([Int].self)
                && !codec.canCarry(String.self))
        let all = (0...255).map { UInt8($0) }
        #expect(try codec.encode(all) == all)
        #expect(try codec.decode([UInt8].self, from: all.span.bytes) == all)
        #expect(try codec.decode([UInt8].self, from: [UInt8]().span.bytes) == [])
        #expect(throws: MicroError.self) { try codec.encode("a") }
        #expect(throws: MicroError.self) { try codec.encode([Int]()) }
        #expect(throws: MicroError.self) { try codec.decode(String.self, from: all.span.bytes) }
    }

    @Test func text() throws {
        let codec = TextCodec()
        #expect(codec.name == "text")
        #expect(codec.contentType.description == "text/plain; charset=utf-8")
        #expect(
            codec.canCarry(String.self) && !codec.canCarry(Substring.self)
                && !codec.canCarry([UInt8].self))
        for text in ["", "a", "é日😀\0\n"] {
            let bytes = try codec.encode(text)
            #expect(bytes == Array(text.utf8))
            let decoded = try codec.decode(String.self, from: bytes.span.bytes)
            #expect(Array(decoded.utf8) == Array(text.utf8))
        }
        for bytes: [UInt8] in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0x61, 0xC3]] {
            let error = try #require(throws: MicroError.self) {
                try codec.decode(String.self, from: bytes.span.bytes)
            }
            #expect(error.code == .invalidArgument, "no silent repair: I-16")
        }
        #expect(throws: MicroError.self) { try codec.encode(1) }
        #expect(throws: MicroError.self) { try codec.decode(Int.self, from: [UInt8]().span.bytes) }
    }

    @Test func readsAPartOfABuffer() throws {
        let buffer = Array("xxhelloyy".utf8)
        let part = buffer.span.bytes.extracting(2..<7)
        #expect(try TextCodec().decode(String.self, from: part) == "hello")
        #expect(try BytesCodec().decode([UInt8].self, from: part) == Array("hello".utf8))
    }
}
