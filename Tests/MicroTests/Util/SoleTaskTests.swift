import Synchronization
import Testing

@testable import Micro

@Suite struct SoleTaskTests {
    private final class Counts: Sendable {
        let begun = Atomic(0)
        let ended = Atomic(0)
        let isWanted = Atomic(true)
    }

    private func begin(_ task: SoleTask, _ counts: Counts) {
        let clock = Environment.current.clock
        task.begin { [weak task] in
            counts.begun.add(1, ordering: .relaxed)
            defer { counts.ended.add(1, ordering: .relaxed) }
            while task?.goesOn(while: { counts.isWanted.load(ordering: .relaxed) }) ?? false {
                do { try await clock.sleep(for: .seconds(1)) } catch { return }
            }
        }
    }

    private func expect(_ counts: Counts, begun: Int, ended: Int) async throws {
        try await Environment.current.clock.sleep(for: .milliseconds(1))
        #expect(counts.begun.load(ordering: .relaxed) == begun)
        #expect(counts.ended.load(ordering: .relaxed) == ended)
    }

    @Test func thereIsOneAtATime() async throws {
        try await withSimulation {
            let (task, counts) = (SoleTask(environment: .current), Counts())
            for _ in 0..<3 { begin(task, counts) }
            try await expect(counts, begun: 1, ended: 0)
            counts.isWanted.store(false, ordering: .relaxed)
            try await Environment.current.clock.sleep(for: .seconds(2))
            try await expect(counts, begun: 1, ended: 1)
            counts.isWanted.store(true, ordering: .relaxed)
            begin(task, counts)
            try await expect(counts, begun: 2, ended: 1)
        }
    }

    @Test func closingEndsItForGood() async throws {
        try await withSimulation {
            let (task, counts) = (SoleTask(environment: .current), Counts())
            begin(task, counts)
            try await expect(counts, begun: 1, ended: 0)
            #expect(!task.isClosed)
            task.close()
            task.close()
            #expect(task.isClosed)
            try await expect(counts, begun: 1, ended: 1)
            begin(task, counts)
            try await expect(counts, begun: 1, ended: 1)
            #expect(!task.goesOn { true })
        }
    }

    @Test func itEndsWithItsOwner() async throws {
        try await withSimulation {
            let counts = Counts()
            do {
                let task = SoleTask(environment: .current)
                begin(task, counts)
                try await expect(counts, begun: 1, ended: 0)
            }
            try await expect(counts, begun: 1, ended: 1)
        }
    }
}
