import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(10)))
struct LifecycleTests {
    private func lifecycle(
        _ journal: Journal<String>, failingStarts: Set<Int> = [], failingStops: Set<Int> = [],
        log: LogJournal = LogJournal()
    ) -> Lifecycle {
        let steps = (0..<4).map { number in
            LifecycleStep(
                name: "step \(number)",
                start: {
                    journal.write("start \(number)")
                    if failingStarts.contains(number) {
                        throw MicroError("t", .aborted, "s\(number)")
                    }
                },
                stop: {
                    journal.write("stop \(number)\(Task.isCancelled ? " cancelled" : "")")
                    if failingStops.contains(number) {
                        throw MicroError("t", .dataLoss, "e\(number)")
                    }
                })
        }
        return Lifecycle(steps: steps, environment: .current, logger: log.logger)
    }

    @Test func startsInOrderAndStopsInReverse() async throws {
        let journal = Journal<String>()
        let lifecycle = lifecycle(journal)
        try await lifecycle.start()
        try await lifecycle.stop()
        #expect(
            journal.entries == [
                "start 0", "start 1", "start 2", "start 3", "stop 3", "stop 2", "stop 1", "stop 0",
            ])
    }

    @Test(arguments: 0..<4)
    func aFailedStartStopsWhatWasStarted(number: Int) async throws {
        let journal = Journal<String>()
        let log = LogJournal()
        let error = try await microError {
            try await lifecycle(
                journal, failingStarts: [number], failingStops: [0, 1, 2, 3], log: log
            ).start()
        }
        #expect(error.detail == "s\(number)")
        let expected =
            (0...number).map { "start \($0)" } + (0..<number).reversed().map { "stop \($0)" }
        #expect(journal.entries == expected)
        #expect(log.contains("error: start failed", "step=step \(number)"))
    }

    @Test func aCancelledStartIsRolledBackUncancelled() async throws {
        let journal = Journal<String>()
        let lifecycle = lifecycle(journal, failingStarts: [2])
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            try await lifecycle.start()
        }
        task.cancel()
        await #expect(throws: MicroError.self) { try await task.value }
        #expect(journal.entries == ["start 0", "start 1", "start 2", "stop 1", "stop 0"])
    }

    @Test func everyStepIsStoppedAndTheErrorsComeTogether() async throws {
        let journal = Journal<String>()
        let lifecycle = lifecycle(journal, failingStops: [0, 2])
        let error = try await microError { try await lifecycle.stop() }
        #expect(error.code == .dataLoss)
        #expect(error.detail == "step 2: e2; step 0: e0")
        #expect(journal.entries == ["stop 3", "stop 2", "stop 1", "stop 0"])
    }

    @Test func oneErrorComesAsItIs() async throws {
        let error = try await microError {
            try await lifecycle(Journal(), failingStops: [1]).stop()
        }
        #expect(error == MicroError("t", .dataLoss, "e1"))
    }
}
