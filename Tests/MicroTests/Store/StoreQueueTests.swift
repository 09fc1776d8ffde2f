import Foundation
import Logging
import Synchronization
import Testing

@testable import Micro

/// One after the other: work that stands still holds a worker thread, of which there are few.
@Suite(.serialized, .timeLimit(.minutes(2))) struct StoreQueueTests {
    /// Work that stands still until it is let go on, and keeps what it was given.
    private final class Workshop: Sendable {
        private struct State {
            var isOpen = false
            var groups: [[Int]] = []
            var nudges = 0
        }

        private let state = Mutex(State())

        var groups: [[Int]] { state.withLock { $0.groups } }
        var nudges: Int { state.withLock { $0.nudges } }

        func open() { state.withLock { $0.isOpen = true } }

        func work(_ numbers: [Int], _ isNudged: Bool) -> [Result<Int, any Error>] {
            state.withLock { state in
                if !numbers.isEmpty { state.groups.append(numbers) }
                if isNudged { state.nudges += 1 }
            }
            while !state.withLock({ $0.isOpen }) { usleep(200) }
            return numbers.map { number in
                number < 0
                    ? .failure(MicroError("test", .dataLoss, "\(number)")) : .success(number * 2)
            }
        }
    }

    private func queue(
        _ shop: Workshop, waiting: Int = 100, workers: Int = 1, weight: Int = 100,
        patience: Duration = .seconds(60)
    ) -> StoreQueue<Int, Int> {
        StoreQueue(
            environment: .current,
            limits: .init(waiting: waiting, workers: workers, weight: weight, patience: patience)
        ) { _, numbers, isNudged in shop.work(numbers, isNudged) }
    }

    private func submit(_ number: Int, to queue: StoreQueue<Int, Int>) -> Task<Int, any Error> {
        Task { try await queue.submit(number, at: "test") }
    }

    private func until(_ condition: () -> Bool) async throws {
        while !condition() { try await Environment.current.clock.sleep(for: .milliseconds(1)) }
    }

    @Test func whatWaitsIsTakenTogether() async throws {
        let shop = Workshop()
        let queue = queue(shop)
        let first = submit(0, to: queue)
        try await until { shop.groups == [[0]] }
        let others = (1...50).map { submit($0, to: queue) }
        try await until { queue.waitingCount == 50 }
        shop.open()
        #expect(try await first.value == 0)
        for (number, task) in zip(1...50, others) { #expect(try await task.value == number * 2) }
        #expect(shop.groups.count == 2)
        #expect(shop.groups[1].sorted() == Array(1...50))
    }

    @Test func aGroupHasABound() async throws {
        let shop = Workshop()
        let queue = queue(shop, weight: 10)
        let first = submit(0, to: queue)
        try await until { shop.groups.count == 1 }
        var tasks: [Task<Int, any Error>] = []
        for (number, weight) in [(1, 4), (2, 4), (3, 4), (4, 100), (5, 1)] {
            tasks.append(Task { try await queue.submit(number, weight: weight, at: "test") })
            try await until { queue.waitingCount == number }
        }
        shop.open()
        for task in [first] + tasks { _ = try await task.value }
        #expect(shop.groups == [[0], [1, 2], [3], [4], [5]])
    }

    @Test func workersWorkSideBySide() async throws {
        let shop = Workshop()
        let queue = queue(shop, workers: 2)
        var tasks: [Task<Int, any Error>] = []
        for number in 1...2 {
            tasks.append(submit(number, to: queue))
            try await until { shop.groups.count == number }
        }
        shop.open()
        for task in tasks { _ = try await task.value }
        await queue.close()
    }

    @Test func answersAreEachItsOwn() async throws {
        let shop = Workshop()
        shop.open()
        let queue = queue(shop)
        await expectError(.dataLoss) { _ = try await queue.submit(-1, at: "test") }
        #expect(try await queue.submit(2, at: "test") == 4)
    }

    @Test func whatWaitsCanBeCancelled() async throws {
        let shop = Workshop()
        let queue = queue(shop)
        let begun = submit(0, to: queue)
        try await until { shop.groups.count == 1 }
        let cancelled = submit(1, to: queue)
        try await until { queue.waitingCount == 1 }
        let kept = submit(2, to: queue)
        try await until { queue.waitingCount == 2 }
        begun.cancel()
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        shop.open()
        // What was taken is waited for.
        #expect(try await begun.value == 0)
        #expect(try await kept.value == 4)
        #expect(shop.groups == [[0], [2]])
    }

    @Test func itIsBounded() async throws {
        let shop = Workshop()
        let queue = queue(shop, waiting: 2)
        let tasks = [submit(0, to: queue)]
        try await until { shop.groups.count == 1 }
        let more = [submit(1, to: queue), submit(2, to: queue)]
        try await until { queue.waitingCount == 2 }
        await expectError(.resourceExhausted, reason: "STORE_BUSY") {
            _ = try await queue.submit(3, at: "test")
        }
        shop.open()
        for task in tasks + more { _ = try await task.value }
        #expect(try await queue.submit(3, at: "test") == 6)
    }

    @Test func patienceHasAnEnd() async throws {
        let shop = Workshop()
        let queue = queue(shop, patience: .milliseconds(30))
        let begun = submit(0, to: queue)
        try await until { shop.groups.count == 1 }
        let late = [submit(1, to: queue), submit(2, to: queue)]
        for task in late {
            let error = await expectError(.deadlineExceeded) { _ = try await task.value }
            #expect(error?.id == "test")
        }
        shop.open()
        #expect(try await begun.value == 0)
        #expect(shop.groups == [[0]])
    }

    @Test func theDeadlineOfTheCallCounts() async throws {
        let shop = Workshop()
        let queue = queue(shop)
        let begun = submit(0, to: queue)
        try await until { shop.groups.count == 1 }
        for patience in [Duration.milliseconds(30), .zero] {
            await context(deadline: patience).bind {
                await expectError(.deadlineExceeded) {
                    _ = try await queue.submit(1, at: "test")
                }
            }
        }
        shop.open()
        #expect(try await begun.value == 0)
        #expect(shop.groups == [[0]])
    }

    private func context(deadline: Duration) -> Context {
        let environment = Environment.current
        return Context(
            scope: CallScope(
                of: CallOrigin(
                    service: "test", endpoint: "Test.Call", environment: environment,
                    logger: Logger(label: "test"), client: LentClient(nil)),
                facts: RequestFacts(metadata: Metadata(), peer: "127.0.0.1:1", identity: nil),
                deadline: environment.clock.now.advanced(by: deadline)))
    }

    @Test func closingAnswersWhatCameBefore() async throws {
        let shop = Workshop()
        let queue = queue(shop)
        let tasks = [submit(0, to: queue)]
        try await until { shop.groups.count == 1 }
        let more = [submit(1, to: queue), submit(2, to: queue)]
        try await until { queue.waitingCount == 2 }
        let closing = Task { await queue.close() }
        try await until { queue.isClosed }
        await expectError(.unavailable, reason: "STORE_CLOSED") {
            _ = try await queue.submit(3, at: "test")
        }
        shop.open()
        await closing.value
        for (number, task) in zip(0...2, tasks + more) {
            #expect(try await task.value == number * 2)
        }
        await queue.close()
    }

    @Test func nudgesAreCoalesced() async throws {
        let shop = Workshop()
        let queue = queue(shop)
        queue.nudge()
        try await until { shop.nudges == 1 }
        for _ in 0..<10 { queue.nudge() }
        shop.open()
        #expect(try await queue.submit(1, at: "test") == 2)
        await queue.close()
        #expect(shop.nudges == 2)
        queue.nudge()
        #expect(shop.nudges == 2)
    }
}
