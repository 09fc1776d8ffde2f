import Micro
import MicroReflection
import Testing

/// JSON to protobuf and back, by descriptors.
struct MessageTests {
    static let pool = { () -> DescriptorPool in
        let kinds: [(String, FieldDescriptor.Kind)] = [
            ("double", .double), ("float", .float), ("int64", .int64), ("uint64", .uint64),
            ("int32", .int32), ("fixed64", .fixed64), ("fixed32", .fixed32), ("bool", .bool),
            ("string", .string), ("bytes", .bytes), ("uint32", .uint32),
            ("sfixed32", .sfixed32), ("sfixed64", .sfixed64), ("sint32", .sint32),
            ("sint64", .sint64),
        ]
        var all = MessageDescriptor("All")
        for (index, (name, kind)) in kinds.enumerated() {
            all.fields += [
                FieldDescriptor("a_\(name)", UInt32(index + 1), kind),
                FieldDescriptor("many_\(name)", UInt32(index + 101), kind, label: .repeated),
            ]
        }
        all.fields += [
            FieldDescriptor("color", 20, .enum, ".zoo.Color"),
            FieldDescriptor("colors", 21, .enum, ".zoo.Color", label: .repeated),
            FieldDescriptor("child", 22, .message, ".zoo.All"),
            FieldDescriptor("children", 23, .message, ".zoo.All", label: .repeated),
            FieldDescriptor("by_name", 24, .message, ".zoo.All.ByNameEntry", label: .repeated),
            FieldDescriptor("by_flag", 25, .message, ".zoo.All.ByFlagEntry", label: .repeated),
            FieldDescriptor("left", 26, .string, oneof: 0),
            FieldDescriptor("right", 27, .message, ".zoo.All", oneof: 0),
            FieldDescriptor("old", 28, .group, ".zoo.Old"),
        ]
        all.oneofs = ["side"]
        all.messages = [
            entry("ByNameEntry", .string, .int64), entry("ByFlagEntry", .bool, .string),
        ]
        for (index, type) in wellKnown.enumerated() {
            all.fields.append(
                FieldDescriptor(
                    "wk_\(type.lowercased())", UInt32(index + 40), .message,
                    ".google.protobuf.\(type)"))
        }
        all.fields.append(
            FieldDescriptor("null_value", 60, .enum, ".google.protobuf.NullValue"))

        var empty = FileDescriptor(name: "empty.proto", package: "google.protobuf")
        empty.messages = [MessageDescriptor("Empty")]
        var file = FileDescriptor(name: "zoo.proto", package: "zoo")
        file.messages = [all]
        file.enums = [EnumDescriptor("Color", ["NONE": 0, "RED": 1, "LOW": -1])]
        var more = FieldDescriptor("more", 200, .int32)
        more.extendee = ".zoo.All"
        file.extensions = [more]
        return DescriptorPool([file, empty])
    }()

    private static let wellKnown = [
        "Any", "Timestamp", "Duration", "FieldMask", "Struct", "Value", "ListValue",
        "DoubleValue", "FloatValue", "Int64Value", "UInt64Value", "Int32Value", "UInt32Value",
        "BoolValue", "StringValue", "BytesValue", "Empty",
    ]

    private static func entry(
        _ name: String, _ key: FieldDescriptor.Kind, _ value: FieldDescriptor.Kind
    ) -> MessageDescriptor {
        var entry = MessageDescriptor(
            name, [FieldDescriptor("key", 1, key), FieldDescriptor("value", 2, value)])
        entry.isMapEntry = true
        return entry
    }

    private func json(_ text: String) throws -> JSONValue {
        let bytes = Array(text.utf8)
        return try JSONCodec().decode(JSONValue.self, from: bytes.span.bytes)
    }

    private func encode(_ text: String) throws -> [UInt8] {
        try Self.pool.encode(try json(text), as: "zoo.All")
    }

    private func decode(_ bytes: [UInt8]) throws -> String {
        var missing: Set<String> = []
        let value = try Self.pool.decode(bytes, as: ".zoo.All", missing: &missing)
        return String(decoding: try JSONCodec().encode(value), as: UTF8.self)
    }

    private func problem(_ text: String) -> MicroError? {
        #expect(throws: MicroError.self, "\(text)") { try encode(text) }
    }

    // MARK: There and back

    @Test(arguments: [
        #"{}"#,
        #"{"aDouble":1.5,"aFloat":0.1,"aInt32":-7,"aInt64":"-9223372036854775808"}"#,
        #"{"aUint32":4294967295,"aUint64":"18446744073709551615","aSint32":-2147483648}"#,
        #"{"aSint64":"-9223372036854775808","aFixed32":4294967295,"aFixed64":"1"}"#,
        #"{"aSfixed32":-1,"aSfixed64":"-1","aBool":true,"aString":"crème","aBytes":"AP+/"}"#,
        #"{"aDouble":"NaN","aFloat":"-Infinity","manyDouble":[0.25,"Infinity"]}"#,
        #"{"manyBool":[true,false],"manyInt64":["1","-1"],"manyString":["","a"]}"#,
        #"{"manyFloat":[0.1],"manyFixed32":[1,2],"manySint64":["-5"],"manyBytes":["","AA=="]}"#,
        #"{"color":"RED","colors":["LOW","NONE",7]}"#,
        #"{"child":{"child":{},"children":[{},{"aInt32":1}]}}"#,
        #"{"byFlag":{"false":"no","true":"yes"},"byName":{"":"0","a":"1"}}"#,
        #"{"left":""}"#, #"{"right":{"left":"x"}}"#,
        #"{"[zoo.more]":3}"#,
        #"{"wkTimestamp":"1970-01-01T00:00:00Z"}"#,
        #"{"wkTimestamp":"0001-01-01T00:00:00Z"}"#,
        #"{"wkTimestamp":"9999-12-31T23:59:59.999999999Z"}"#,
        #"{"wkTimestamp":"2024-02-29T12:30:00.500Z"}"#,
        #"{"wkDuration":"-1.000001s"}"#, #"{"wkDuration":"0s"}"#, #"{"wkDuration":"-0.500s"}"#,
        #"{"wkFieldmask":"aB,cD.eF"}"#,
        #"{"wkStruct":{"a":[1,"x",null,{"b":true}],"c":{}}}"#,
        #"{"wkListvalue":[[],1.5]}"#, #"{"wkValue":null}"#, #"{"wkValue":"text"}"#,
        #"{"wkBoolvalue":false,"wkInt64value":"0","wkStringvalue":"","wkDoublevalue":0}"#,
        #"{"wkBytesvalue":"AQ==","wkUint32value":7,"wkFloatvalue":"NaN"}"#,
        #"{"wkEmpty":{}}"#, #"{"nullValue":null}"#,
        #"{"wkAny":{"@type":"type.googleapis.com/zoo.All","aInt32":5}}"#,
        #"{"wkAny":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}}"#,
    ])
    func whatGoesInComesOut(text: String) throws {
        #expect(try json(try decode(try encode(text))) == json(text))
    }

    @Test(arguments: [
        (
            #"{"a_int32":"12","a_int64":5,"aUint64":1e3}"#,
            #"{"aInt32":12,"aInt64":"5","aUint64":"1000"}"#
        ),
        (
            #"{"aBytes":"-_8","color":1,"aInt32":1.0}"#,
            #"{"aBytes":"+/8=","aInt32":1,"color":"RED"}"#
        ),
        (
            #"{"aInt32":null,"child":null,"manyInt32":null,"left":null,"right":{}}"#,
            #"{"right":{}}"#
        ),
        (
            #"{"wkTimestamp":"2026-01-01T01:00:00.1+02:00"}"#,
            #"{"wkTimestamp":"2025-12-31T23:00:00.100Z"}"#
        ),
        (#"{"aDouble":"1.5","aFloat":3}"#, #"{"aDouble":1.5,"aFloat":3}"#),
    ])
    func otherSpellings(given: String, normal: String) throws {
        #expect(try decode(try encode(given)) == normal)
    }

    // MARK: The wire

    @Test func theWireIsWhatOthersWrite() throws {
        #expect(try encode(#"{"aInt32":-1}"#) == [0x28] + [UInt8](repeating: 0xFF, count: 9) + [1])
        #expect(try encode(#"{"aSint32":-1}"#) == [0x70, 0x01])
        #expect(try encode(#"{"aString":"ab"}"#) == [0x4A, 2, 0x61, 0x62])
        #expect(try encode(#"{"aFixed32":1}"#) == [0x3D, 1, 0, 0, 0])
        #expect(try encode(#"{"aDouble":1}"#) == [0x09, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F])
    }

    @Test func packedAndUnpackedAreRead() throws {
        var writer = ProtobufWriter()
        writer.bytes(105, [1, 2, 0x80, 1])
        writer.varint(105, 3)
        writer.bytes(107, [1, 0, 0, 0, 2, 0, 0, 0])
        #expect(try decode(writer.bytes) == #"{"manyFixed32":[1,2],"manyInt32":[1,2,128,3]}"#)
    }

    @Test func piecesAreJoinedAndTheLastOneCounts() throws {
        var writer = ProtobufWriter()
        writer.message(22) { $0.varint(5, 1) }
        writer.message(22) { $0.string(9, "x") }
        writer.varint(5, 1)
        writer.varint(5, 2)
        writer.string(26, "left")
        writer.message(27) { _ in }
        #expect(
            try decode(writer.bytes)
                == #"{"aInt32":2,"child":{"aInt32":1,"aString":"x"},"right":{}}"#)
    }

    @Test func whatIsNotDescribedIsPassedOver() throws {
        var writer = ProtobufWriter()
        writer.varint(999, 1)
        writer.string(5, "a number was expected")
        writer.message(24) { _ in }
        #expect(try decode(writer.bytes) == #"{"byName":{"":"0"}}"#)
    }

    @Test func anUnknownAnyIsNamed() throws {
        var writer = ProtobufWriter()
        writer.message(40) { any in
            any.string(1, "type.googleapis.com/far.Away")
            any.bytes(2, [1, 2])
        }
        var missing: Set<String> = []
        let value = try Self.pool.decode(writer.bytes, as: "zoo.All", missing: &missing)
        #expect(missing == ["far.Away"])
        #expect(
            value
                == (try json(
                    #"{"wkAny":{"@type":"type.googleapis.com/far.Away","value":"AQI="}}"#)))
    }

    // MARK: Errors

    @Test(arguments: [
        (#"[]"#, "", "zoo.All is an object in JSON, not a list"),
        (#"{"nothing":1}"#, "nothing", "zoo.All has no such field: it has aDouble, aFloat"),
        (#"{"child":{"children":[{},{"aInt32":"x"}]}}"#, "child.children[1].aInt32", "\"x\""),
        (#"{"aInt32":2147483648}"#, "aInt32", "from -2147483648 to 2147483647"),
        (#"{"aUint32":-1}"#, "aUint32", "from 0 to 4294967295 is needed, not -1"),
        (#"{"aInt32":1.5}"#, "aInt32", "a whole number"),
        (#"{"aFloat":1e300}"#, "aFloat", "within the range"),
        (#"{"aBool":"true"}"#, "aBool", "true or false is needed, not a string"),
        (#"{"aString":7}"#, "aString", "a string is needed, not a number"),
        (#"{"aBytes":"*"}"#, "aBytes", "base64"),
        (#"{"color":"PINK"}"#, "color", "zoo.Color has no \"PINK\": it has LOW, NONE, RED"),
        (#"{"manyInt32":3}"#, "manyInt32", "a list is needed, not a number"),
        (#"{"manyInt32":[1,null]}"#, "manyInt32[1]", "null"),
        (#"{"byName":{"a":"x"}}"#, "byName.a", "a whole number"),
        (#"{"byFlag":{"maybe":"x"}}"#, "byFlag.maybe", "true or false"),
        (#"{"aInt32":1,"a_int32":2}"#, "", "given twice"),
        (#"{"left":"x","right":{}}"#, "right", "only one of side may be given, and left is"),
        (#"{"old":{}}"#, "old", "groups can't be sent"),
        (#"{"wkTimestamp":"2026-02-29T00:00:00Z"}"#, "wkTimestamp", "a time such as"),
        (#"{"wkTimestamp":"yesterday"}"#, "wkTimestamp", "a time such as"),
        (#"{"wkDuration":"1m"}"#, "wkDuration", "a duration in seconds"),
        (#"{"wkAny":{"a":1}}"#, "wkAny", "\"@type\" is needed"),
        (#"{"wkAny":{"@type":"x/far.Away"}}"#, "wkAny.@type", "far.Away is not described"),
        (#"{"wkInt32value":"x"}"#, "wkInt32value.value", "a whole number"),
    ])
    func errorsNameTheField(text: String, field: String, part: String) throws {
        let error = try #require(problem(text))
        #expect(error.code == .invalidArgument)
        #expect(error.detail.contains(part), "\(error.detail)")
        if !field.isEmpty { #expect(error.metadata["field"] == field) }
    }

    @Test func depthIsLimited() throws {
        var value = JSONValue.object([:])
        for _ in 0..<150 { value = .object(["child": value]) }
        let error = #expect(throws: MicroError.self) {
            try Self.pool.encode(value, as: "zoo.All")
        }
        #expect(error?.detail.contains("nested deeper than 100") == true)
        var bytes: [UInt8] = []
        for _ in 0..<150 {
            var writer = ProtobufWriter()
            writer.bytes(22, bytes)
            bytes = writer.bytes
        }
        #expect(throws: MicroError.self) { try decode(bytes) }
    }

    /// Descriptions come from anybody, too.
    @Test(arguments: [0, 1 << 29, UInt32.max])
    func fieldsThatNoMessageCanHaveAreNone(number: UInt32) throws {
        var file = FileDescriptor(name: "odd.proto", package: "odd")
        file.messages = [
            MessageDescriptor(
                "Odd", [FieldDescriptor("fine", 1, .int32), FieldDescriptor("odd", number, .int32)])
        ]
        let pool = DescriptorPool([file])
        #expect(try pool.encode(json(#"{"fine":1}"#), as: "odd.Odd") == [0x08, 0x01])
        let error = try #require(
            #expect(throws: MicroError.self) {
                try pool.encode(json(#"{"odd":1}"#), as: "odd.Odd")
            })
        #expect(error.detail.contains("no such field"))
    }

    /// Bytes of anybody: an error or JSON, never a trap.
    @Test func garbageIsRefused() async throws {
        let whole = try encode(
            #"{"aString":"x","children":[{"byName":{"a":"1"}}],"manyDouble":[1],"wkAny":"#
                + #"{"@type":"t/zoo.All","wkStruct":{"a":[1]}},"wkDuration":"1.5s","#
                + #""wkTimestamp":"2026-01-01T00:00:00Z"}"#)
        try await withSimulation(seed: 7) {
            var random = Environment.current.randomness
            for _ in 0..<5000 {
                var bytes = whole
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let index = Int.random(in: 0..<bytes.count, using: &random)
                    bytes[index] = .random(in: 0...255, using: &random)
                }
                _ = try? decode(bytes)
            }
        }
    }
}
