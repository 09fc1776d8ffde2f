import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(10)))
struct TimeoutTests {
    private struct Refused: Error {}

    @Test func returnsWhatTheBodyReturns() async throws {
        try await withSimulation {
            let clock = Environment.current.clock
            let value: Int? = try await withTimeout(.seconds(1), on: clock, "t", "it") {
                try await clock.sleep(for: .milliseconds(999))
                return nil
            }
            // nil is a value too.
            #expect(value == nil)
            #expect(virtualMilliseconds == 999)
        }
    }

    @Test func throwsWhatTheBodyThrows() async throws {
        try await withSimulation {
            await #expect(throws: Refused.self) {
                try await withTimeout(.seconds(1), on: Environment.current.clock, "t", "it") {
                    throw Refused()
                }
            }
            #expect(virtualMilliseconds == 0)
        }
    }

    @Test func givesUpInTimeAndWaitsForTheBody() async throws {
        try await withSimulation {
            let clock = Environment.current.clock
            let journal = Journal<String>()
            let error = try await microError {
                try await withTimeout(.seconds(2), on: clock, "here", "reading the file") {
                    do {
                        try await clock.sleep(for: .seconds(60))
                    } catch {
                        journal.write("cancelled at \(virtualMilliseconds)")
                        throw error
                    }
                }
            }
            #expect(error.code == .deadlineExceeded)
            #expect(error.id == "here")
            #expect(error.detail == "reading the file took longer than 2.0 seconds")
            #expect(journal.entries == ["cancelled at 2000"])
        }
    }

    @Test(arguments: [Duration.zero, .seconds(-1)])
    func aTimeoutThatHasPassedGivesUpAtOnce(timeout: Duration) async throws {
        try await withSimulation {
            let clock = Environment.current.clock
            let error = try await microError {
                try await withTimeout(timeout, on: clock, "t", "it") {
                    try await clock.sleep(for: .seconds(1))
                }
            }
            #expect(error.code == .deadlineExceeded)
            #expect(virtualMilliseconds == 0)
        }
    }

    @Test func theCallersCancellationReachesTheBody() async throws {
        try await withSimulation {
            let environment = Environment.current
            let journal = Journal<String>()
            let task = environment.spawn {
                do {
                    try await withTimeout(.seconds(60), on: environment.clock, "t", "it") {
                        try await environment.clock.sleep(for: .seconds(30))
                    }
                } catch {
                    journal.write("\(error is CancellationError) at \(virtualMilliseconds)")
                }
            }
            try await environment.clock.sleep(for: .seconds(5))
            task.cancel()
            await task.wait()
            #expect(journal.entries == ["true at 5000"])
        }
    }
}
