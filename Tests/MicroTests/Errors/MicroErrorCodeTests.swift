import Testing

@testable import Micro

@Suite struct MicroErrorCodeTests {
    typealias Row = (code: MicroError.Code, rpc: UInt32, http: Int, name: String)

    static let table: [Row] = [
        (.cancelled, 1, 499, "CANCELLED"),
        (.unknown, 2, 500, "UNKNOWN"),
        (.invalidArgument, 3, 400, "INVALID_ARGUMENT"),
        (.deadlineExceeded, 4, 504, "DEADLINE_EXCEEDED"),
        (.notFound, 5, 404, "NOT_FOUND"),
        (.alreadyExists, 6, 409, "ALREADY_EXISTS"),
        (.permissionDenied, 7, 403, "PERMISSION_DENIED"),
        (.resourceExhausted, 8, 429, "RESOURCE_EXHAUSTED"),
        (.failedPrecondition, 9, 400, "FAILED_PRECONDITION"),
        (.aborted, 10, 409, "ABORTED"),
        (.outOfRange, 11, 400, "OUT_OF_RANGE"),
        (.unimplemented, 12, 501, "UNIMPLEMENTED"),
        (.internal, 13, 500, "INTERNAL"),
        (.unavailable, 14, 503, "UNAVAILABLE"),
        (.dataLoss, 15, 500, "DATA_LOSS"),
        (.unauthenticated, 16, 401, "UNAUTHENTICATED"),
        (.methodNotAllowed, 12, 405, "METHOD_NOT_ALLOWED"),
        (.notAcceptable, 3, 406, "NOT_ACCEPTABLE"),
        (.unsupportedMediaType, 3, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (.payloadTooLarge, 8, 413, "PAYLOAD_TOO_LARGE"),
        (.conflict, 10, 409, "CONFLICT"),
    ]

    @Test(arguments: table) func hasItsNumbers(row: Row) {
        #expect(row.code.rpc == row.rpc)
        #expect(row.code.http == row.http)
        #expect(row.code.name == row.name)
        #expect(row.code.description == row.name)
        #expect(MicroError.Code(name: row.name) == row.code)
        #expect(!row.code.advice.isEmpty)
    }

    @Test func namesAndCodesAreDistinct() {
        #expect(Set(Self.table.map(\.name)).count == 21)
        #expect(Set(Self.table.map(\.code)).count == 21)
    }

    @Test func rpcNumbersOfGRPC() {
        for row in Self.table.prefix(16) { #expect(MicroError.Code(rpc: row.rpc) == row.code) }
        for number: UInt32 in [0, 17, 32, 33, 36, 255, 256, 261, .max] {
            #expect(MicroError.Code(rpc: number) == .unknown, "\(number)")
        }
    }

    @Test(arguments: [
        (400, MicroError.Code.invalidArgument), (401, .unauthenticated), (403, .permissionDenied),
        (404, .notFound), (405, .methodNotAllowed), (406, .notAcceptable), (408, .deadlineExceeded),
        (409, .conflict), (412, .failedPrecondition), (413, .payloadTooLarge),
        (415, .unsupportedMediaType), (418, .invalidArgument), (422, .invalidArgument),
        (429, .resourceExhausted), (431, .payloadTooLarge), (499, .cancelled), (500, .internal),
        (501, .unimplemented), (502, .unavailable), (503, .unavailable), (504, .deadlineExceeded),
        (599, .unknown), (200, .unknown), (302, .unknown), (0, .unknown), (-1, .unknown),
        (.max, .unknown), (.min, .unknown),
    ]) func httpStatusBecomesTheClosestCode(status: Int, code: MicroError.Code) {
        #expect(MicroError.Code(http: status) == code)
    }

    @Test func everyErrorIsAnErrorForBothProtocols() {
        for status in -10...1000 {
            let code = MicroError.Code(http: status)
            #expect((1...16).contains(code.rpc))
            #expect((400...599).contains(code.http))
        }
    }

    @Test func refinementsMatchTheirGRPCCodeAndNotTheOtherWay() {
        let refined = MicroError("a", .methodNotAllowed, "")
        #expect(refined.matches(.methodNotAllowed))
        #expect(refined.matches(.unimplemented))
        #expect(!refined.matches(.invalidArgument))
        #expect(!MicroError("a", .unimplemented, "").matches(.methodNotAllowed))
        #expect(MicroError("a", .conflict, "").matches(.aborted))
        #expect(!MicroError("a", .conflict, "").matches(.alreadyExists))
    }
}
