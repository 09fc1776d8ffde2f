import Testing

@testable import Micro

@Suite struct TurnsTests {
    @Test func oneAtATimeAndInOrder() async throws {
        try await withSimulation {
            let turns = Turns()
            let clock = Environment.current.clock
            let journal = Journal<String>()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for n in 0..<3 {
                    group.addTask {
                        try await clock.sleep(for: .milliseconds(n))
                        try await turns.take {
                            journal.write("\(n) begins")
                            try await clock.sleep(for: .milliseconds(10))
                            journal.write("\(n) ends")
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(journal.entries == (0..<3).flatMap { ["\($0) begins", "\($0) ends"] })
        }
    }

    @Test func whoIsCancelledWhileItWaitsLosesItsTurn() async throws {
        try await withSimulation {
            let turns = Turns()
            let clock = Environment.current.clock
            try await withThrowingTaskGroup(of: Bool.self) { group in
                let (first, second) = (Latch<Void>(), Latch<Void>())
                group.addTask {
                    try await turns.take {
                        first.open()
                        try await second.wait()
                    }
                    return true
                }
                try await first.wait()
                try await withThrowingTaskGroup(of: Void.self) { waiting in
                    waiting.addTask { () async throws -> Void in
                        try await turns.take { () -> Void in Issue.record("it had no turn") }
                    }
                    try await clock.sleep(for: .milliseconds(1))
                    waiting.cancelAll()
                    await #expect(throws: CancellationError.self) { try await waiting.next() }
                }
                second.open()
                #expect(try await group.next() == true)
            }
            // What fails gives its turn back, too.
            await #expect(throws: MicroError.self) {
                try await turns.take { throw MicroError("x", .aborted, "") }
            }
            #expect(try await turns.take { 1 } == 1)
        }
    }
}
