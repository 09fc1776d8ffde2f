import Testing

@testable import Micro

@Suite struct MicroErrorConversionTests {
    private struct DatabaseFailure: Error, CustomStringConvertible {
        var description: String { "password=hunter2 at 10.0.0.1" }
    }

    private struct Order: Codable, Sendable {
        struct Item: Codable, Sendable { var price: Int }
        var id: String
        var items: [Item]
        var paid: Bool?
        var ratio: Double?
    }

    @Test func keepsMicroErrors() {
        let error = MicroError.notFound("orders.get", "no order 7")
        #expect(MicroError(error, id: "x") == error)
        #expect(MicroError(MicroError("", .notFound, "d"), id: "x").id == "x")
    }

    @Test func cancellation() {
        let error = MicroError(CancellationError(), id: "orders.get")
        #expect(error.code == .cancelled)
        #expect(error.id == "orders.get")
        #expect(!error.isRetryable)
    }

    @Test func unknownErrorsDoNotLeak() {
        let error = MicroError(DatabaseFailure(), id: "orders.get")
        #expect(
            error
                == {
                    var expected = MicroError("orders.get", .internal, "DatabaseFailure")
                    expected.underlying = "password=hunter2 at 10.0.0.1"
                    return expected
                }())
        for bytes in [error.json, error.problemJSON, error.rpcStatusDetails] {
            #expect(!String(decoding: bytes, as: UTF8.self).contains("hunter2"))
        }
        #expect(!error.description.contains("hunter2"))
        #expect(error.debugDescription.contains("hunter2"))
    }

    @Test func longTextsAreCut() {
        struct Long: Error, CustomStringConvertible {
            var description: String { String(repeating: "x", count: 100_000) }
        }
        #expect(MicroError(Long(), id: "").underlying.count == 4097)
    }

    @Test(arguments: [
        (#"{"items":[]}"#, "id", "id is missing"),
        (#"{"id":null,"items":[]}"#, "id", "id is null, but must be a string"),
        (
            #"{"id":"a","items":[{"price":1},{"price":"x"}]}"#, "items[1].price",
            "items[1].price must be a whole number that fits Int"
        ),
        (#"{"id":"a","items":[{}]}"#, "items[0].price", "items[0].price is missing"),
        (#"{"id":"a","items":{}}"#, "items", "items must be a list"),
        (#"{"id":"a","items":[3]}"#, "items[0]", "items[0] must be an object"),
        (#"{"id":"a","items":[],"paid":1}"#, "paid", "paid must be true or false"),
        (#"{"id":"a","items":[],"ratio":"1"}"#, "ratio", "ratio must be a number"),
    ]) func decodingErrorsNameTheField(json: String, field: String, detail: String) throws {
        let error = try #require(throws: MicroError.self) {
            try JSONCodec().decode(Order.self, from: Array(json.utf8).span.bytes)
        }
        #expect(error.code == .invalidArgument)
        #expect(error.metadata == ["field": field])
        #expect(error.detail.hasPrefix(detail), "\(error.detail)")
    }

    @Test func decodingErrorAtTheRootHasNoField() {
        let error = MicroError(
            DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "no good")), id: "a"
        )
        #expect(error.detail == "the message is not valid (no good)")
        #expect(error.metadata.isEmpty)
    }

    @Test func decodingErrorsDoNotPrintThePayload() {
        struct Key: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }
        let long = String(repeating: "x", count: 100_000)
        let path = Array(repeating: Key(stringValue: long), count: 100)
        let error = MicroError(
            DecodingError.dataCorrupted(.init(codingPath: path, debugDescription: long)), id: "a")
        #expect(error.detail.count < 600)
        #expect((error.metadata["field"]?.count ?? .max) < 300)
    }

    @Test func encodingErrorsAreOurs() throws {
        struct Reply: Encodable { var list: [Double] }
        let error = try #require(throws: MicroError.self) {
            try JSONCodec().encode(Reply(list: [1, .nan]))
        }
        #expect(error.code == .internal)
        #expect(error.metadata["field"] == "list[1]")
        #expect(error.detail == "list[1] can't be encoded: NaN has no form in JSON")
    }
}
