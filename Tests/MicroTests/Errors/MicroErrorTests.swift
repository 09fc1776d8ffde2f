import Testing

@testable import Micro

@Suite struct MicroErrorTests {
    @Test(arguments: [
        (MicroError.notFound("orders.get", "no order 7"), "NOT_FOUND at orders.get: no order 7"),
        (
            .invalid("orders.create", "must be positive", at: "total", reason: "NEGATIVE"),
            "INVALID_ARGUMENT at orders.create: must be positive (reason=NEGATIVE, field=total)"
        ),
        (
            .unavailable("client", "no node", metadata: ["b": "2", "a": "1"]),
            "UNAVAILABLE at client: no node (a=1, b=2); it is safe to try again"
        ),
        (
            MicroError("client", .deadlineExceeded, "after 1 s", wasWritten: true),
            "DEADLINE_EXCEEDED at client: after 1 s; the request may have been processed"
        ),
        (
            MicroError("", .notFound, ""), "NOT_FOUND: it does not exist; check the name"
        ),
    ]) func descriptionSaysWhatWhereAndWhatToDo(error: MicroError, line: String) {
        #expect(error.description == line)
        #expect("\(error)" == line)
    }

    @Test func descriptionStaysOneLine() {
        let error = MicroError(
            "a\nb", .internal, "x\r\n\u{1B}[31my\u{2028}\u{202E}\0é", reason: "\t",
            metadata: ["k\n": "\u{85}"])
        #expect(
            error.description
                == #"INTERNAL at a\nb: x\r\n\u{1b}[31my\u{2028}\u{202e}\u{0}é (reason=\t, k\n=\u{85})"#
        )
    }

    @Test func descriptionOfAnyErrorHasNoControlCharacters() {
        var random = SeededRandom(seed: 11)
        for _ in 0..<2000 {
            var error = random.error()
            error.underlying = random.text()
            for scalar in (error.description + error.debugDescription).unicodeScalars {
                #expect(scalar.properties.generalCategory != .control)
            }
        }
    }

    @Test func underlyingIsForDebuggingOnly() {
        var error = MicroError.internalError("a", "b")
        #expect(error.debugDescription == error.description)
        error.underlying = "password=1\nx"
        #expect(!error.description.contains("password"))
        #expect(error.debugDescription == #"INTERNAL at a: b; cause: password=1\nx"#)
        #expect(!String(decoding: error.problemJSON, as: UTF8.self).contains("password"))
        #expect(!String(decoding: error.json, as: UTF8.self).contains("password"))
        #expect(!String(decoding: error.rpcStatusDetails, as: UTF8.self).contains("password"))
    }

    @Test func onlyAnUnavailableServiceThatSawNothingIsRetriedByDefault() {
        for row in MicroErrorCodeTests.table {
            let error = MicroError("a", row.code, "")
            #expect(error.isRetryable == (row.code == .unavailable), "\(row.code)")
            #expect(!MicroError("a", row.code, "", wasWritten: true).isRetryable, "\(row.code)")
            #expect(MicroError("a", row.code, "", wasWritten: true, retryable: true).isRetryable)
            #expect(!MicroError("a", row.code, "", retryable: false).isRetryable)
        }
    }

    @Test func equalityLooksAtEveryField() {
        let error = MicroError("a", .notFound, "b", reason: "R", metadata: ["k": "v"])
        func changed(_ change: (inout MicroError) -> Void) -> MicroError {
            var other = error
            change(&other)
            return other
        }
        let others = [
            changed { $0.id = "x" }, changed { $0.code = .internal }, changed { $0.detail = "x" },
            changed { $0.reason = "x" }, changed { $0.metadata["k"] = nil },
            changed { $0.wasWritten = true }, changed { $0.underlying = "x" },
            changed { $0.retryable = false },
        ]
        for other in others { #expect(other != error) }
        #expect(Set(others + [error]).count == others.count + 1)
        #expect(changed { _ in } == error)
    }

    @Test func factoriesGiveTheirCodes() {
        let made: [(MicroError, MicroError.Code)] = [
            (.invalid("i", "d"), .invalidArgument), (.notFound("i", "d"), .notFound),
            (.alreadyExists("i", "d"), .alreadyExists), (.conflict("i", "d"), .conflict),
            (.permissionDenied("i", "d"), .permissionDenied),
            (.unauthenticated("i", "d"), .unauthenticated),
            (.resourceExhausted("i", "d"), .resourceExhausted),
            (.failedPrecondition("i", "d"), .failedPrecondition), (.aborted("i", "d"), .aborted),
            (.outOfRange("i", "d"), .outOfRange), (.unimplemented("i", "d"), .unimplemented),
            (.internalError("i", "d"), .internal), (.unavailable("i", "d"), .unavailable),
            (.dataLoss("i", "d"), .dataLoss), (.timeout("i", "d"), .deadlineExceeded),
            (.cancelled("i", "d"), .cancelled),
            (.unsupportedMediaType("i", "d"), .unsupportedMediaType),
            (.notAcceptable("i", "d"), .notAcceptable),
            (.payloadTooLarge("i", "d"), .payloadTooLarge),
        ]
        for (error, code) in made {
            #expect(error == MicroError("i", code, "d"))
        }
    }
}
