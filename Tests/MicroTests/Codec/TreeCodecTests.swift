import Micro
import MicroTesting
import Testing

/// JSON once more, as somebody else would add a format: bytes are a list of numbers there.
private struct ToyCodec: TreeCodec {
    let contentType = ContentType.json
    let name = "toy"

    func read(_ bytes: RawSpan, into value: inout DirectWriter) throws {
        try write(JSONCodec().decode(JSONValue.self, from: bytes), to: &value)
    }

    private func write(_ tree: JSONValue, to value: inout DirectWriter) throws {
        switch tree {
        case .null: try value.writeNull()
        case .boolean(let truth): try value.write(truth)
        case .integer(let number): try value.write(number)
        case .unsigned(let number): try value.write(number)
        case .number(let number): try value.write(number)
        case .string(let text): try value.write(text)
        case .array(let elements):
            try value.list { list in
                for element in elements { try list.encode { try write(element, to: &$0) } }
            }
        case .object(let fields):
            try value.object { object in
                for (name, field) in fields {
                    try object.encode(name) { try write(field, to: &$0) }
                }
            }
        }
    }

    func write(_ value: borrowing DirectReader) throws -> [UInt8] {
        try JSONCodec(maximumDepth: maximumDepth).encode(tree(value))
    }

    private func tree(_ value: borrowing DirectReader) throws -> JSONValue {
        switch value.kind {
        case .null: return .null
        case .boolean: return .boolean(try value.boolean())
        case .integer:
            if let number = try? value.integer() { return .integer(number) }
            return .unsigned(try value.natural())
        case .number: return .number(try value.double())
        case .text: return .string(try value.text())
        case .bytes: return .array(try value.bytes().map { .integer(Int64($0)) })
        case .list:
            var elements: [JSONValue] = []
            try value.forEachElement { elements.append(try tree($0)) }
            return .array(elements)
        case .object:
            var fields: [String: JSONValue] = [:]
            try value.forEachField { fields[$0] = try tree($1) }
            return .object(fields)
        }
    }
}

/// One whose parser and printer do what they are told.
private struct OddCodec: TreeCodec {
    let contentType = ContentType.text
    let name = "odd"
    var maximumDepth = 64
    var parse: @Sendable (inout DirectWriter) throws -> Void = { _ in }
    var print: @Sendable (borrowing DirectReader) throws -> [UInt8] = { _ in [] }

    func read(_ bytes: RawSpan, into value: inout DirectWriter) throws { try parse(&value) }
    func write(_ value: borrowing DirectReader) throws -> [UInt8] { try print(value) }
}

@Suite struct TreeCodecTests {
    @Test func aCodecInOneFileKeepsTheContract() async throws {
        try await CodecConformance(ToyCodec()).run()
    }

    private func failure<T: Decodable>(_ codec: OddCodec, as type: T.Type) throws -> MicroError {
        let bytes: [UInt8] = [1]
        return try #require(throws: MicroError.self) { () throws -> Void in
            _ = try codec.decode(type, from: bytes.span.bytes)
        }
    }

    @Test func aParsersOwnErrorPassesThrough() throws {
        let codec = OddCodec(parse: { _ in throw MicroError.invalid("", "at line 7") })
        let error = try failure(codec, as: Int.self)
        #expect(error.code == .invalidArgument)
        #expect(error.detail == "at line 7")
    }

    @Test func whatAParserCannotWriteIsTheMessagesFault() throws {
        #expect(try failure(OddCodec(), as: Int.self).code == .invalidArgument)
        let twice = OddCodec(parse: {
            try $0.write(Int64(1))
            try $0.write(Int64(2))
        })
        #expect(try failure(twice, as: Int.self).code == .invalidArgument)
        let deep = OddCodec(
            maximumDepth: 2,
            parse: {
                try $0.list {
                    try $0.encode { try $0.list { try $0.encode { try $0.list { _ in } } } }
                }
            })
        let error = try failure(deep, as: JSONValue.self)
        #expect(error.code == .invalidArgument)
        #expect(error.detail.contains("not valid"))
    }

    @Test func fieldsThatDoNotFitAreNamed() throws {
        let codec = OddCodec(parse: {
            try $0.object {
                try $0.encode("a") { try $0.list { try $0.encode { try $0.write("x") } } }
            }
        })
        let error = try failure(codec, as: [String: [Int]].self)
        #expect(error.code == .invalidArgument)
        #expect(error.metadata["field"] == "a[0]")
    }

    @Test func ofAKeyThatComesTwiceTheLastOneCounts() throws {
        let codec = OddCodec(parse: {
            try $0.object {
                try $0.encode("a") { try $0.write(Int64(1)) }
                try $0.encode("a") { try $0.write(Int64(2)) }
            }
        })
        let bytes: [UInt8] = [1]
        let value = try codec.decode([String: Int].self, from: bytes.span.bytes)
        #expect(value == ["a": 2])
    }

    @Test func aPrinterThatAsksForSomethingElse() throws {
        let codec = OddCodec(print: { Array(try $0.text().utf8) })
        #expect(try codec.encode("x") == [0x78])
        let error = try #require(throws: MicroError.self) { () throws -> Void in
            _ = try codec.encode(1)
        }
        #expect(error.code == .internal)
    }

    @Test func itsTreeIsItsOwn() throws {
        // A message within a message: while one tree is lent, another one is made and lent.
        let inner = OddCodec(parse: { try $0.write("inner") })
        let outer = OddCodec(parse: {
            let bytes: [UInt8] = [1]
            let text = try inner.decode(String.self, from: bytes.span.bytes)
            try $0.list {
                try $0.encode { try $0.write("outer") }
                try $0.encode { try $0.write(text) }
            }
        })
        let bytes: [UInt8] = [1]
        #expect(try outer.decode([String].self, from: bytes.span.bytes) == ["outer", "inner"])
    }
}
