import Testing

@testable import Micro

@Suite struct MicroErrorStatusTests {
    private func parse(_ error: MicroError, _ details: [UInt8]) -> MicroError {
        MicroError(rpcCode: error.code.rpc, message: error.detail, details: details)
    }

    @Test func writesGoogleRPCStatus() {
        let error = MicroError.notFound("o", "no", reason: "R", metadata: ["k": "v"])
        let info = Array("type.googleapis.com/google.rpc.ErrorInfo".utf8)
        let value: [UInt8] =
            [0x0A, 1] + Array("R".utf8) + [0x12, 1] + Array("o".utf8)
            + [0x1A, 6, 0x0A, 1] + Array("k".utf8) + [0x12, 1] + Array("v".utf8)
        let any: [UInt8] = [0x0A, UInt8(info.count)] + info + [0x12, UInt8(value.count)] + value
        #expect(
            error.rpcStatusDetails
                == [0x08, 5, 0x12, 2] + Array("no".utf8) + [0x1A, UInt8(any.count)] + any)
    }

    @Test func writesAFieldViolation() {
        let bytes = MicroError.invalid("o", "bad", at: "total").rpcStatusDetails
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.contains("google.rpc.BadRequest"))
        #expect(text.contains("google.rpc.ErrorInfo"))
        #expect(!text.contains("micro.errors.Error"), "only when there is something to say")
    }

    /// D-08.
    @Test func tenThousandErrorsArriveWhole() throws {
        var random = SeededRandom(seed: 8)
        for _ in 0..<10_000 {
            let error = random.error()
            let details = error.rpcStatusDetails(bytesMax: .max)
            try #require(parse(error, details) == error)
        }
    }

    @Test func everyCodeArrives() {
        for code in SeededRandom.codes {
            let error = MicroError("a", code, "d")
            #expect(parse(error, error.rpcStatusDetails) == error)
        }
    }

    /// A handler that rethrows a callee's error must not make its own caller repeat the whole call.
    @Test func permissionToRetryDoesNotTravel() {
        let error = MicroError("a", .unavailable, "d", retryable: true)
        #expect(parse(error, error.rpcStatusDetails) == .unavailable("a", "d"))
        #expect(MicroError(json: error.json.span.bytes) == .unavailable("a", "d"))
        let claim = Array(#"{"detail":"d","code":409,"retryable":true}"#.utf8)
        #expect(MicroError(json: claim.span.bytes)?.isRetryable == false)
    }

    @Test func withoutDetailsTheStatusIsUsed() {
        #expect(MicroError(rpcCode: 5, message: "gone") == MicroError("", .notFound, "gone"))
        #expect(MicroError(rpcCode: 0, message: "") == MicroError("", .unknown, ""))
        #expect(MicroError(rpcCode: .max, message: "x").code == .unknown)
    }

    @Test func detailsOfAnotherCodeAreNotBelieved() {
        let details = MicroError("a", .permissionDenied, "d", reason: "R").rpcStatusDetails
        #expect(
            MicroError(rpcCode: 5, message: "gone", details: details)
                == MicroError("", .notFound, "gone"))
    }

    @Test func readsForeignDetails() {
        var writer = ProtobufWriter()
        writer.varint(1, 3)
        writer.message(3) { any in
            any.string(1, "type.googleapis.com/google.rpc.RetryInfo")
            any.bytes(2, [0xFF, 0xFF])
        }
        writer.message(3) { any in
            any.string(1, "type.googleapis.com/google.rpc.BadRequest")
            any.message(2) { request in
                for field in ["first", "second"] { request.message(1) { $0.string(1, field) } }
            }
        }
        writer.string(99, "later")
        let error = MicroError(rpcCode: 3, message: "bad", details: writer.bytes)
        #expect(error == .invalid("", "bad", at: "first"))
    }

    @Test func staysWithinTheLimit() {
        var error = MicroError(
            "id", .conflict, "detail", reason: "R",
            metadata: ["k": String(repeating: "v", count: 5000)])
        #expect(error.rpcStatusDetails.count <= 4096)
        var expected = error
        expected.metadata = [:]
        #expect(parse(error, error.rpcStatusDetails) == expected)
        error.detail = String(repeating: "d", count: 5000)
        #expect(error.rpcStatusDetails == [])
    }

    @Test func damagedDetailsNeverTrapAndKeepTheStatus() {
        var random = SeededRandom(seed: 10)
        for _ in 0..<300 {
            let error = random.error()
            let details = error.rpcStatusDetails
            for end in details.indices {
                #expect(parse(error, Array(details[..<end])).code.rpc == error.code.rpc)
            }
            for _ in 0..<100 {
                var damaged = details
                guard let index = damaged.indices.randomElement(using: &random) else { continue }
                damaged[index] = .random(in: 0...255, using: &random)
                #expect(parse(error, damaged).code.rpc == error.code.rpc)
            }
        }
        for _ in 0..<50_000 {
            #expect(
                MicroError(rpcCode: 5, message: "m", details: random.bytes(upTo: 40)).code
                    == .notFound)
        }
    }
}
