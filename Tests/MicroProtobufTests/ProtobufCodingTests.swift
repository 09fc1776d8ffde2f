import Micro
import SwiftProtobuf
import Testing

@testable import MicroProtobuf

struct ProtobufCodingTests {
    private let orders = ProtobufCoding<Order>()

    @Test(arguments: [ProtobufForm.proto, .json])
    func whatIsWrittenIsRead(form: ProtobufForm) throws {
        let bytes = try orders.write(.full, as: form)
        #expect(try orders.read(bytes.span.bytes, as: form) == .full)
        let none = try orders.write(Order(), as: form)
        #expect(none == (form == .json ? Array("{}".utf8) : []))
        #expect(try orders.read(none.span.bytes, as: form) == Order())
    }

    @Test func jsonIsThatOfTheSpecification() throws {
        let text = """
            {"id":"7","items":[{"name":"crème"},{"count":3}],"size":"SIZE_LARGE",\
            "totalCents":"9223372036854775807","at":"2000-02-29T00:00:00Z",\
            "previous":{"id":"6"},"cash":false,"rebate":0.5}
            """
        var order = Order.full
        order.marks = [:]
        #expect(String(decoding: try orders.write(order, as: .json), as: UTF8.self) == text)
        // Names of the .proto, numbers as numbers, and fields that nobody knows.
        let other = #"{"total_cents":9223372036854775807,"size":2,"unknown":[{}],"id":"7"}"#
        let read = try orders.read(Array(other.utf8).span.bytes, as: .json)
        #expect(read.totalCents == .max)
        #expect(read.size == .large)
        #expect(read.id == "7")
    }

    /// A newer caller sends fields that this side does not know: they are kept.
    @Test func unknownFieldsStay() throws {
        let bytes = try orders.write(.full, as: .proto)
        let receipt = try ProtobufCoding<Google_Protobuf_Empty>()
            .read(bytes.span.bytes, as: .proto)
        let again = try ProtobufCoding<Google_Protobuf_Empty>().write(receipt, as: .proto)
        #expect(try orders.read(again.span.bytes, as: .proto) == .full)
    }

    @Test(arguments: [
        ("", ProtobufForm.proto), ("application/grpc", .proto), ("application/grpc+proto", .proto),
        ("application/protobuf", .proto), ("application/x-protobuf", .proto),
        ("application/protobuf; messageType=x", .proto), ("application/vnd.x+protobuf", .proto),
        ("application/json", .json), ("application/json; charset=utf-8", .json),
        ("application/grpc+json", .json), ("application/problem+json", .json),
    ])
    func contentTypes(contentType: String, form: ProtobufForm) throws {
        #expect(try orders.readForm(for: contentType) == form)
        #expect(try orders.writtenForm(for: contentType) == form)
    }

    @Test(arguments: [
        "text/plain", "application/grpc+thrift", "application/json; charset=utf-16", "proto", "*/*",
        "application/x-www-form-urlencoded",
    ])
    func otherContentTypes(contentType: String) throws {
        let error = try #require(throws: MicroError.self) {
            try orders.readForm(for: contentType)
        }
        #expect(error.code == .unsupportedMediaType)
        #expect(error.metadata["accepted"] == "application/protobuf, application/json")
    }

    @Test(
        arguments: [
            ([0x0a], "ends in the middle"), ([0x0a, 5, 65], "ends in the middle"),
            ([0x0a, 1, 0xff], "not UTF-8"), ([0x07], "invalid number, type or length"),
            ([0x00, 0x01], "invalid number, type or length"),
            ([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], ""),
            ([0x20] + [UInt8](repeating: 0xff, count: 11), "invalid number, type or length"),
        ] as [([UInt8], String)])
    func bytesThatAreNoMessage(bytes: [UInt8], text: String) throws {
        let error = try #require(throws: MicroError.self) {
            try orders.read(bytes.span.bytes, as: .proto)
        }
        #expect(error.code == .invalidArgument)
        #expect(error.detail.contains("micro.test.v1.Order"))
        #expect(error.detail.contains(text), "\(error)")
    }

    @Test(arguments: [
        ("", "line 1, column 1"), ("{", "line 1, column 2"), ("{\n  \"id\": 7x\n}", "line 2"),
        ("[]", ""), ("null", "null stands"), ("{\"id\":7}", "a string is malformed"),
        ("{\"totalCents\":\"a\"}", "number"), ("{\"totalCents\":1.5}", "not whole"),
        ("{\"items\":[null]}", "null stands"), ("{\"at\":\"yesterday\"}", "timestamp"),
        ("{\"cash\":true,\"card\":\"1\"}", "oneof"), ("{} {}", "line 1, column 4"),
        ("{\"rebate\":\"x\"}", "number"), ("{\"cash\":1}", "bool"),
    ])
    func textThatIsNoMessage(text: String, what: String) throws {
        let error = try #require(throws: MicroError.self) {
            try orders.read(Array(text.utf8).span.bytes, as: .json)
        }
        #expect(error.code == .invalidArgument)
        #expect(error.detail.contains("micro.test.v1.Order"))
        #expect(error.detail.contains(what), "\(error)")
    }

    @Test func nestingHasALimit() throws {
        var bytes: [UInt8] = []
        for _ in 0..<200 { bytes = [0x3a] + length(bytes.count) + bytes }
        let error = try #require(throws: MicroError.self) {
            try orders.read(bytes.span.bytes, as: .proto)
        }
        #expect(error.code == .invalidArgument)
        #expect(error.detail.contains("nested too deep"))
        let text =
            String(repeating: "{\"previous\":", count: 200) + "{}"
            + String(repeating: "}", count: 200)
        let other = try #require(throws: MicroError.self) {
            try orders.read(Array(text.utf8).span.bytes, as: .json)
        }
        #expect(other.code == .invalidArgument)
    }

    private func length(_ count: Int) -> [UInt8] {
        count < 128 ? [UInt8(count)] : [UInt8(count & 127 | 128), UInt8(count >> 7)]
    }

    @Test func requiredFields() throws {
        let coding = ProtobufCoding<Micro_Test_V1_Legacy>()
        let read = try #require(throws: MicroError.self) {
            try coding.read([UInt8]().span.bytes, as: .proto)
        }
        #expect(read.code == .invalidArgument)
        #expect(read.detail.contains("required field is missing"))
        let written = try #require(throws: MicroError.self) {
            try coding.write(Micro_Test_V1_Legacy(), as: .proto)
        }
        #expect(written.code == .internal)
        #expect(written.detail.contains("micro.test.v1.Legacy"))
    }

    @Test func whatHasNoJSON() throws {
        let coding = ProtobufCoding<Google_Protobuf_Timestamp>()
        let error = try #require(throws: MicroError.self) {
            try coding.write(Google_Protobuf_Timestamp(seconds: .max), as: .json)
        }
        #expect(error.code == .internal)
        #expect(error.detail.contains("years 1 to 9999"))
    }

    @Test func nothingIsAnEmptyMessage() throws {
        let coding = ProtobufCoding<Google_Protobuf_Empty>()
        for form in [ProtobufForm.proto, .json] {
            let read = try coding.read([UInt8]().span.bytes, as: form)
            #expect(read == Google_Protobuf_Empty())
        }
    }

    /// Whatever comes is a message or an error, and what was read can be written.
    @Test func anyBytesAreReadOrRefused() throws {
        var state: UInt64 = 7
        let valid = try orders.write(.full, as: .proto)
        for _ in 0..<2000 {
            var bytes = valid
            for _ in 0..<3 {
                state = state &* 6_364_136_223_846_793_005 &+ 1
                let index = Int(state >> 33) % bytes.count
                bytes[index] = UInt8(truncatingIfNeeded: state >> 24)
            }
            bytes.removeLast(Int(state >> 40) % 8)
            do {
                let order = try orders.read(bytes.span.bytes, as: .proto)
                _ = try orders.write(order, as: .proto)
            } catch let error as MicroError {
                #expect(error.code == .invalidArgument)
            }
        }
    }
}
