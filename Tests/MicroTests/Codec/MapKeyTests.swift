import Micro
import Testing

/// Keys of maps that are no texts: MessagePack and CBOR have them.
@Suite struct MapKeyTests {
    private func decode<T: Decodable>(
        _ bytes: [UInt8], by codec: some Codec, as type: T.Type = T.self
    ) throws -> T {
        try codec.decode(type, from: bytes.span.bytes)
    }

    private let largest = [UInt8](repeating: 0xFF, count: 8)

    @Test func integersAreKeysByTheirDigits() throws {
        // {2^64 - 1: 1, -1: 2, 7: 3}
        let packed = [0x83, 0xCF] + largest + [1, 0xFF, 2, 7, 3]
        let cbor = [0xA3, 0x1B] + largest + [1, 0x20, 2, 7, 3]
        let expected = ["18446744073709551615": 1, "-1": 2, "7": 3]
        #expect(try decode(packed, by: MessagePackCodec()) == expected)
        #expect(try decode(cbor, by: CBORCodec()) == expected)
        #expect(
            try decode(packed, by: MessagePackCodec(), as: JSONValue.self)
                == .object(expected.mapValues { .integer(Int64($0)) }))
        // {-2^64: 1}
        #expect(
            try decode([0xA1, 0x3B] + largest + [1], by: CBORCodec())
                == ["-18446744073709551616": 1])
        #expect(try decode([0x82, 7, 1, 0xFF, 2], by: MessagePackCodec()) == [7: 1, -1: 2])
    }

    @Test func theyAreFoundByName() throws {
        struct Points: Decodable, Equatable {
            enum CodingKeys: String, CodingKey {
                case largest = "18446744073709551615"
                case least = "-18446744073709551616"
                case absent = "18446744073709551614"
            }
            var largest: Int
            var least: Int?
            var absent: Int?
        }
        let packed = [0x81, 0xCF] + largest + [1]
        let cbor = [0xA2, 0x1B] + largest + [1, 0x3B] + largest + [2]
        #expect(try decode(packed, by: MessagePackCodec()) == Points(largest: 1))
        #expect(try decode(cbor, by: CBORCodec()) == Points(largest: 1, least: 2))
    }

    @Test func errorsNameThem() throws {
        for (bytes, codec) in [
            ([0x81, 0xCF] + largest + [0xA1, 0x78], MessagePackCodec() as any Codec),
            ([0xA1, 0x1B] + largest + [0x61, 0x78], CBORCodec()),
        ] {
            let error = try #require(throws: MicroError.self) {
                try codec.decode([String: Int].self, from: bytes.span.bytes)
            }
            #expect(error.metadata["field"] == "18446744073709551615")
        }
        let negative = try #require(throws: MicroError.self) {
            try decode(
                [0xA1, 0x3B] + largest + [0x61, 0x78], by: CBORCodec(), as: [String: Int].self)
        }
        #expect(negative.metadata["field"] == "-18446744073709551616")
    }
}
