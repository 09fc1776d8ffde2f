internal import FoundationEssentials
internal import Micro

/// What a case found and should not have.
struct Unexpected: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

func expect(_ condition: Bool, _ otherwise: @autoclosure () -> String) throws {
    guard condition else { throw Unexpected(otherwise()) }
}

func expectEqual<Value: Equatable>(_ found: Value, _ expected: Value, _ what: String) throws {
    guard found == expected else { throw Unexpected("\(what): \(found) instead of \(expected)") }
}

/// The error with which a call must end.
@discardableResult
func expectFailure(
    _ code: MicroError.Code, _ body: () async throws -> Void
) async throws -> MicroError {
    do {
        try await body()
    } catch let error as MicroError {
        try expectEqual(error.code.rpc, code.rpc, "the code of \(error)")
        return error
    }
    throw Unexpected("success instead of \(code)")
}

extension Grpc_Testing_Payload {
    /// Must have so many bytes, all zero.
    func expectZeros(_ count: Int) throws {
        try expectEqual(body.count, count, "the length of the payload")
        try expect(body.allSatisfy { $0 == 0 }, "the payload is not all zeros")
    }
}
