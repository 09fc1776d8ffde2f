import Micro
import MicroTesting
import Testing

@Suite struct WaitGroupTests {
    @Test func itWaitsForAllAndCanBeUsedAgain() async throws {
        try await withSimulation(seed: 1) {
            let group = WaitGroup()
            let clock = Environment.current.clock
            try await group.wait()
            for round in 1...2 {
                try group.add(3)
                let before = clock.now
                for number in 1...3 {
                    Environment.current.spawn {
                        try? await clock.sleep(for: .seconds(number))
                        try? group.done()
                    }
                }
                await expectError(.deadlineExceeded) {
                    try await group.wait(timeout: .seconds(2.5))
                }
                #expect(group.count == 1)
                try await group.wait(timeout: .seconds(10))
                #expect(before.duration(to: clock.now) == .seconds(3), "round \(round)")
            }
        }
    }

    @Test func wrongNumbersAreErrors() async throws {
        let group = WaitGroup()
        #expect(throws: MicroError.self) { try group.done() }
        #expect(throws: MicroError.self) { try group.add(0) }
        #expect(throws: MicroError.self) { try group.add(-1) }
        try group.add(.max)
        #expect(throws: MicroError.self) { try group.add(1) }
        #expect(group.count == .max)
    }

    @Test func waitingIsCancelled() async throws {
        try await withSimulation(seed: 1) {
            let group = WaitGroup()
            try group.add()
            let waiter = Environment.current.spawn {
                await #expect(throws: CancellationError.self) { try await group.wait() }
            }
            try await Environment.current.clock.sleep(for: .seconds(1))
            waiter.cancel()
            await waiter.wait()
        }
    }
}
