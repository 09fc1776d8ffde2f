import Synchronization
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(10)))
struct SleepTests {
    private let loops: EventLoops
    private var clock: EventLoopClock { EventLoopClock(loop: loops.control) }

    init() throws { loops = try EventLoops(count: 2) }

    @Test func sleepIsNeverEarly() async throws {
        let clock = clock
        var random = SeededRandom(seed: 1)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<300 {
                let wanted = UInt64.random(in: 0...30_000_000, using: &random)
                group.addTask {
                    let began = MonotonicTime.nanoseconds
                    try await clock.sleep(for: .nanoseconds(Int64(wanted)))
                    #expect(MonotonicTime.nanoseconds - began >= wanted)
                }
            }
            try await group.waitForAll()
        }
        loops.stop()
    }

    /// The clock of a loop stands still during a turn; a sleep counts from its beginning all the
    /// same.
    @Test func sleepIsNotEarlyInALongTurn() async throws {
        let clock = clock
        let slept = Journal<UInt64>()
        await Environment(loops: loops).spawn {
            let turn = MonotonicTime.nanoseconds
            while MonotonicTime.nanoseconds - turn < 20_000_000 {}
            let began = MonotonicTime.nanoseconds
            try? await clock.sleep(for: .milliseconds(5))
            slept.write(MonotonicTime.nanoseconds - began)
        }.wait()
        #expect(slept.entries.allSatisfy { $0 >= 5_000_000 })
        #expect(slept.count == 1)
        loops.stop()
    }

    @Test(arguments: [Duration.zero, .seconds(-5), .nanoseconds(Int64.min)])
    func aDurationThatHasPassedDoesNotWait(duration: Duration) async throws {
        try await clock.sleep(for: duration)
        loops.stop()
    }

    @Test func cancelledBefore() async throws {
        let clock = clock
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            try await clock.sleep(for: .seconds(3600))
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        try await nobodySleeps()
    }

    @Test func cancelledDuring() async throws {
        let (clock, control) = (clock, loops.control)
        let task = Task { try await clock.sleep(for: .seconds(3600)) }
        try await eventually("it sleeps") { control.sleepers.withLock { $0.count } == 1 }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        try await nobodySleeps()
    }

    @Test func cancelledAfter() async throws {
        let clock = clock
        let task = Task {
            try await clock.sleep(for: .milliseconds(1))
            while !Task.isCancelled { await Task.yield() }
        }
        try await eventually("it has slept") { [control = loops.control] in
            control.sleepers.withLock { $0.isEmpty }
        }
        task.cancel()
        // The sleep may be cancelled or over by now; the task ends either way.
        _ = await task.result
        try await nobodySleeps()
    }

    @Test func tenThousandAtOnce() async throws {
        let clock = clock
        let environment = Environment(loops: loops)
        let woken = Tally()
        let tasks = (0..<10_000).map { number in
            environment.spawn(on: loops.next) {
                try? await clock.sleep(for: .microseconds(number % 50 * 1000))
                woken.add()
            }
        }
        for task in tasks { await task.wait() }
        #expect(woken.value == 10_000)
        try await nobodySleeps()
    }

    /// Each sleep ends once, by its timer or by its cancellation: twice would trap.
    @Test func cancelStorm() async throws {
        let clock = clock
        let environment = Environment(loops: loops)
        let woken = Tally()
        let cancelled = Tally()
        var random = SeededRandom(seed: 2)
        let tasks = (0..<10_000).map { number in
            let duration = Duration.microseconds(Int.random(in: 0...5000, using: &random))
            return environment.spawn(on: loops.next) {
                do {
                    try await clock.sleep(for: number % 5 == 0 ? .seconds(3600) : duration)
                    woken.add()
                } catch {
                    #expect(error is CancellationError)
                    cancelled.add()
                }
            }
        }
        await withTaskGroup(of: Void.self) { group in
            for part in 0..<4 {
                group.addTask {
                    var random = SeededRandom(seed: UInt64(part))
                    for task in tasks.shuffled(using: &random) { task.cancel() }
                }
            }
        }
        for task in tasks { await task.wait() }
        let ends = (woken.value, cancelled.value)
        #expect(ends.0 + ends.1 == 10_000)
        #expect(ends.1 >= 2000)  // an hour is over for nobody
        try await nobodySleeps()
    }

    /// Timers of cancelled sleeps are taken off the loops, by jobs that may still be on their way.
    private func nobodySleeps() async throws {
        let all = loops.workers + [loops.control]
        try await eventually("no timer is left") {
            all.allSatisfy { $0.sleepers.withLock { $0.isEmpty } }
        }
        loops.stop()
    }
}
