import Testing

@testable import Micro

@Suite struct ProtobufWireTests {
    private func fields(_ bytes: [UInt8]) throws -> [ProtobufReader.Field] {
        var reader = ProtobufReader(bytes)
        var fields: [ProtobufReader.Field] = []
        while let field = try reader.next() { fields.append(field) }
        return fields
    }

    @Test func writesTheDocumentedBytes() {
        // The examples of protobuf.dev/programming-guides/encoding.
        var writer = ProtobufWriter()
        writer.varint(1, 150)
        writer.string(2, "testing")
        writer.message(3) { $0.varint(1, 150) }
        #expect(
            writer.bytes == [
                0x08, 0x96, 0x01, 0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6E, 0x67, 0x1A, 0x03,
                0x08, 0x96,
                0x01,
            ])
    }

    @Test func readsEveryWireType() throws {
        let bytes: [UInt8] = [
            0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01,  // 1: varint
            0x11, 1, 0, 0, 0, 0, 0, 0, 0x80,  // 2: fixed64
            0x1B, 0x20, 0x05, 0x1B, 0x1C, 0x2A, 0x01, 0xFF, 0x1C,  // 3: group with a group inside
            0x25, 1, 2, 3, 4,  // 4: fixed32
            0x2A, 0x00,  // 5: no bytes
        ]
        #expect(
            try fields(bytes) == [
                .init(number: 1, value: .varint(.max)),
                .init(number: 2, value: .fixed64(0x8000_0000_0000_0001)),
                .init(number: 4, value: .fixed32(0x0403_0201)),
                .init(number: 5, value: .bytes(bytes.count..<bytes.count)),
            ])
    }

    @Test(
        arguments: [
            [0x08], [0x08, 0x80], [0x08] + Array(repeating: 0xFF, count: 10) + [0x01],
            [0x08] + Array(repeating: 0xFF, count: 9) + [0x02], [0x00, 0x00], [0x07], [0x0E],
            [0x0F], [0x0C],
            [0x11, 1, 2, 3], [0x15, 1, 2, 3], [0x12, 0x01], [0x12, 0x7F],
            [0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
            [0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
            [0x80, 0x80, 0x80, 0x80, 0x10, 0x00], [0x0B], [0x0B, 0x14], [0x0B, 0x0B, 0x0C],
            Array(repeating: 0x0B, count: 1000) + Array(repeating: 0x0C, count: 1000),
        ] as [[UInt8]]) func refuses(bytes: [UInt8])
    {
        #expect(throws: ProtobufError.self) { try fields(bytes) }
    }

    @Test(
        arguments: [
            ([0x08], "a number that does not end", 1),
            ([0x08, 0x01, 0x15, 1, 2], "a number that is cut off", 3),
            ([0x12, 0x01], "a length beyond the end", 1),
            ([0x08, 0x01, 0x00], "a field number out of range", 2),
            ([0x0F], "wire type 7", 0), ([0x0B, 0x14], "a group that is not closed right", 1),
        ] as [([UInt8], String, Int)]) func saysWhatIsWrongAndWhere(
            bytes: [UInt8], what: String, offset: Int
        )
    {
        #expect(throws: ProtobufError(what: what, offset: offset)) { try fields(bytes) }
    }

    @Test func messagesWithinAreReadInPlace() throws {
        var writer = ProtobufWriter()
        writer.varint(1, 1)
        writer.message(2) { outer in
            outer.message(3) { $0.bytes(4, Array(repeating: 0xFF, count: 300)) }
            outer.bytes(5, [0x01, 0x96, 0x01, 0x80])
        }
        let bytes = writer.bytes
        #expect(bytes.count == 2 + 3 + 3 + 303 + 6)
        var reader = ProtobufReader(bytes)
        _ = try reader.next()
        guard case .bytes(let range) = try reader.next()?.value else {
            Issue.record("there is no message")
            return
        }
        #expect(range == 5..<bytes.count)
        var outer = reader.message(range)
        #expect(try outer.next()?.number == 3)
        guard case .bytes(let numbers) = try outer.next()?.value else {
            Issue.record("there are no numbers")
            return
        }
        var packed = outer.message(numbers)
        #expect(try packed.packedVarint() == 1)
        #expect(try packed.packedVarint() == 150)
        #expect(
            throws: ProtobufError(what: "a number that does not end", offset: bytes.count - 1)
        ) { try packed.packedVarint() }
        #expect(try outer.next() == nil)
    }

    @Test func aMessageThatFailsIsNotWritten() {
        struct Refusal: Error {}
        var writer = ProtobufWriter()
        writer.varint(1, 1)
        do throws(Refusal) {
            try writer.message(2) { message throws(Refusal) in
                message.string(1, "gone")
                throw Refusal()
            }
            Issue.record("nothing was thrown")
        } catch {}
        writer.varint(3, 3)
        let bytes = writer.bytes
        #expect(bytes == [0x08, 0x01, 0x18, 0x03])
    }

    @Test func groupsUpToTheLimitAreSkipped() throws {
        let bytes = Array(repeating: UInt8(0x0B), count: 100) + Array(repeating: 0x0C, count: 100)
        #expect(try fields(bytes).isEmpty)
    }

    @Test func stringsAreStrict() throws {
        let bytes: [UInt8] = [0x0A, 0x02, 0xC0, 0x80]
        let reader = ProtobufReader(bytes)
        #expect(throws: ProtobufError.self) { try reader.string(2..<4) }
        #expect(try reader.string(0..<0) == "")
    }

    @Test func roundTripsRandomMessages() throws {
        var random = SeededRandom(seed: 4)
        for _ in 0..<5000 {
            var writer = ProtobufWriter()
            var written: [(UInt32, UInt64?, [UInt8])] = []
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                let number = UInt32.random(in: 1..<(1 << 29), using: &random)
                if Bool.random(using: &random) {
                    let value = random.next() >> UInt64.random(in: 0...63, using: &random)
                    writer.varint(number, value)
                    written.append((number, value, []))
                } else {
                    let value = random.bytes(upTo: 200)
                    writer.bytes(number, value)
                    written.append((number, nil, value))
                }
            }
            let bytes = writer.bytes
            let read = try fields(bytes)
            #expect(read.count == written.count)
            for (field, (number, value, content)) in zip(read, written) {
                #expect(field.number == number)
                switch field.value {
                case .varint(let read): #expect(read == value)
                case .bytes(let range): #expect(Array(bytes[range]) == content)
                default: Issue.record("\(field)")
                }
            }
        }
    }

    @Test func anyBytesEndInFieldsOrAnError() {
        var random = SeededRandom(seed: 6)
        var failed = 0
        for _ in 0..<100_000 {
            let bytes = random.bytes(upTo: 24)
            do {
                for field in try fields(bytes) {
                    guard case .bytes(let range) = field.value else { continue }
                    #expect(range.lowerBound >= 0 && range.upperBound <= bytes.count)
                }
            } catch { failed += 1 }
        }
        #expect(failed > 1000)
    }
}
