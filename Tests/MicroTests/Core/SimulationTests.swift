import Synchronization
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(10)))
struct SimulationTests {
    private struct Refused: Error {}

    // MARK: Time

    @Test func timeJumps() async throws {
        let began = ContinuousClock.now
        let seconds = try await withSimulation { () -> Int64 in
            let clock = Environment.current.clock
            let start = clock.now
            for _ in 0..<3600 { try await clock.sleep(for: .seconds(1)) }
            return start.duration(to: clock.now).components.seconds
        }
        #expect(seconds == 3600)
        // An hour of sleeps; a minute of it would be slow beyond any machine's excuse.
        #expect(ContinuousClock.now - began < .seconds(60))
    }

    @Test func sleepersWakeInTheOrderOfTheirTimes() async throws {
        try await withSimulation {
            let environment = Environment.current
            let woken = Journal<Int>()
            let tasks = [50, 10, 40, 20, 30].map { number in
                environment.spawn {
                    try? await environment.clock.sleep(for: .seconds(number))
                    woken.write(virtualMilliseconds)
                }
            }
            for task in tasks { await task.wait() }
            #expect(woken.entries == [10_000, 20_000, 30_000, 40_000, 50_000])
        }
    }

    @Test func theWallClockBeginsAtAFixedTimeAndFollows() async throws {
        try await withSimulation {
            let environment = Environment.current
            #expect(environment.isSimulated)
            #expect(environment.wallClock == .seconds(1_735_689_600))
            try await environment.clock.sleep(for: .seconds(86_400))
            #expect(environment.wallClock == .seconds(1_735_689_600 + 86_400))
        }
    }

    @Test func everythingIsOnOneThread() async throws {
        try await withSimulation {
            let environment = Environment.current
            let loop = environment.loops.control
            let places = Journal<Bool>()
            places.write(EventLoop.current === loop)
            await environment.spawn { places.write(EventLoop.current === loop) }.wait()
            places.write(try await environment.offload { EventLoop.current === loop })
            async let child = EventLoop.current === loop
            places.write(await child)
            #expect(environment.loops.preferred === loop)
            #expect(places.entries == [true, true, true, true])
        }
    }

    // MARK: Repetition

    private static func trace(seed: UInt64) async throws -> [String] {
        try await withSimulation(seed: seed) {
            let environment = Environment.current
            let journal = Journal<String>()
            let tasks = (0..<20).map { number in
                environment.spawn {
                    var random = environment.randomness
                    for turn in 0..<20 {
                        let pause = Int.random(in: 0...100, using: &random)
                        try? await environment.clock.sleep(for: .milliseconds(pause))
                        journal.write("\(virtualMilliseconds) \(number) \(turn)")
                    }
                }
            }
            try await environment.clock.sleep(for: .milliseconds(700))
            for task in tasks.prefix(5) { task.cancel() }
            for task in tasks { await task.wait() }
            return journal.entries
        }
    }

    @Test(arguments: [0, 1, 42, UInt64.max])
    func theSameSeedGivesTheSameRun(seed: UInt64) async throws {
        let first = try await Self.trace(seed: seed)
        #expect(first.count == 400)
        for _ in 0..<3 { #expect(try await Self.trace(seed: seed) == first) }
    }

    @Test func anotherSeedGivesAnotherRun() async throws {
        #expect(try await Self.trace(seed: 1) != Self.trace(seed: 2))
    }

    @Test func simulationsRunSideBySide() async throws {
        let expected = try await Self.trace(seed: 9)
        try await withThrowingTaskGroup(of: [String].self) { group in
            for _ in 0..<16 { group.addTask { try await Self.trace(seed: 9) } }
            for try await trace in group { #expect(trace == expected) }
        }
    }

    /// Each has a thread, which must be given back: a thousand that are not would not fit.
    @Test func aThousandInARow() async throws {
        for seed in 0..<1000 {
            let number = try await withSimulation(seed: UInt64(seed)) {
                try await Environment.current.clock.sleep(for: .seconds(1))
                return seed
            }
            #expect(number == seed)
        }
    }

    // MARK: The end

    @Test func theErrorOfTheBodyComesOut() async throws {
        await #expect(throws: Refused.self) {
            try await withSimulation {
                try await Environment.current.clock.sleep(for: .seconds(1))
                throw Refused()
            }
        }
    }

    @Test func tasksThatAreLeftAreCancelledAndWaitedFor() async throws {
        let journal = Journal<String>()
        try await withSimulation {
            let environment = Environment.current
            environment.spawn {
                do {
                    try await environment.clock.sleep(for: .seconds(3600))
                } catch {
                    await Task.yield()
                    journal.write("cleaned up at \(virtualMilliseconds)")
                }
            }
            try await environment.clock.sleep(for: .seconds(2))
        }
        #expect(journal.entries == ["cleaned up at 2000"])
    }

    @Test func tasksThatComeWhileItEndsAreCancelledToo() async throws {
        let journal = Journal<String>()
        try await withSimulation {
            let environment = Environment.current
            environment.spawn {
                try? await environment.clock.sleep(for: .seconds(3600))
                environment.spawn {
                    do {
                        try await environment.clock.sleep(for: .seconds(3600))
                    } catch {
                        journal.write("second cancelled at \(virtualMilliseconds)")
                    }
                }
            }
            await Task.yield()
        }
        #expect(journal.entries == ["second cancelled at 0"])
    }

    @Test func anErrorOfTheBodyEndsItsTasksToo() async throws {
        let journal = Journal<String>()
        await #expect(throws: Refused.self) {
            try await withSimulation {
                Environment.current.spawn {
                    try? await Environment.current.clock.sleep(for: .seconds(3600))
                    journal.write("ended at \(virtualMilliseconds)")
                }
                await Task.yield()
                throw Refused()
            }
        }
        #expect(journal.entries == ["ended at 0"])
    }

    @Test func whoWaitsForEverIsFoundOut() async throws {
        let journal = Journal<String>()
        let error = try await microError {
            try await withSimulation(seed: 77) {
                defer { journal.write("unwound") }
                let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
                for await _ in stream {}
                withExtendedLifetime(continuation) {}
            }
        }
        #expect(error.code == .deadlineExceeded)
        #expect(error.detail.contains("stuck with seed 77"))
        #expect(journal.entries == ["unwound"])
    }

    private final class Token: Sendable {}
    private struct Weak: Sendable {
        weak let token: Token?
    }

    @Test func nothingOfASimulationStays() async throws {
        let (loop, token) = try await withSimulation { () -> (WeakLoop, Weak) in
            let token = Token()
            Environment.current.spawn {
                try? await Environment.current.clock.sleep(for: .seconds(60))
                withExtendedLifetime(token) {}
            }
            return (WeakLoop(loop: Environment.current.loops.control), Weak(token: token))
        }
        #expect(token.token == nil)
        try await eventually("its loop is gone") { loop.loop == nil }
    }

    private struct WeakLoop: Sendable {
        weak let loop: EventLoop?
    }
}
