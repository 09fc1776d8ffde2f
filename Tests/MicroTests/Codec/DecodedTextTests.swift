import Micro
import Testing

/// Texts of all lengths, which are copied in steps, and keys, which are compared in steps.
struct DecodedTextTests {
    @Test(arguments: [1, 2, 3, 4])
    func textsOfAllLengthsArriveWhole(characterLength: Int) throws {
        let character = ["", "b", "é", "本", "🎉"][characterLength]
        for length in 0...70 {
            for place in 0..<max(length, 1) {
                var text = String(repeating: "a", count: place)
                if length > 0 { text += character }
                text += String(repeating: "a", count: max(length - place - 1, 0))
                let decoded = try JSONCodec().decode(
                    String.self, from: Array("\"\(text)\"".utf8).span.bytes)
                #expect(decoded == text)
                #expect(Array(decoded.utf8) == Array(text.utf8))
            }
        }
    }

    @Test
    func keysThatDifferInOneByteAreToldApart() throws {
        for length in 1...40 {
            for place in 0..<length {
                var other = [UInt8](repeating: 0x61, count: length)
                other[place] = 0x62
                let wrong = String(decoding: other, as: UTF8.self)
                let right = String(repeating: "a", count: length)
                let json = "{\"\(wrong)\":1,\"\(right)\":2}"
                let value = try JSONCodec().decode(
                    JSONValue.self, from: Array(json.utf8).span.bytes)
                #expect(value == .object([wrong: .integer(1), right: .integer(2)]))
                let keyed = try JSONCodec().decode(Keyed.self, from: Array(json.utf8).span.bytes)
                #expect(keyed.find(right) == 2)
                #expect(keyed.find(wrong) == 1)
                #expect(keyed.find(right + "a") == nil)
            }
        }
    }

    @Test(arguments: ["null", "7"])
    func optionalsAreDirectMessages(json: String) throws {
        let value = try JSONCodec().decode(Int?.self, from: Array(json.utf8).span.bytes)
        #expect(value == Int(json))
        let list = try JSONCodec().decode([Int?].self, from: Array("[\(json),1]".utf8).span.bytes)
        #expect(list == [Int(json), 1])
    }

    @Test
    func typesOfKeysAreNotMixedUp() throws {
        let json = Array(#"{"a":1,"b":{"a":2,"b":{"a":3}}}"#.utf8)
        for _ in 0..<3 {
            let nested = try JSONCodec().decode(
                Outer<Outer<Inner<Int8>>>.self, from: json.span.bytes)
            #expect([nested.a, nested.b.a, nested.b.b.a] == [1, 2, 3])
            let wide = try JSONCodec().decode(Outer<Inner<Int16>>.self, from: json.span.bytes)
            #expect([wide.a, wide.b.a] == [1, 2])
            let narrow = try JSONCodec().decode(Outer<Inner<Int32>>.self, from: json.span.bytes)
            #expect([narrow.a, narrow.b.a] == [1, 2])
        }
    }
}

/// Finds fields by keys that are made while it is decoded.
private struct Keyed: Decodable {
    private var values: [String: Int] = [:]

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Name.self)
        for key in fields.allKeys.reversed() {
            values[key.stringValue] = try fields.decode(Int.self, forKey: key)
            let longer = Name(stringValue: key.stringValue + "a")
            values[longer.stringValue] = try fields.decodeIfPresent(Int.self, forKey: longer)
        }
    }

    func find(_ name: String) -> Int? { values[name] }

    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
}

private struct Outer<Content: Decodable>: Decodable {
    var a: Int
    var b: Content
}

private struct Inner<Number: Decodable & BinaryInteger>: Decodable {
    private var number: Number
    var a: Int { Int(number) }

    private enum CodingKeys: String, CodingKey { case number = "a" }
}
