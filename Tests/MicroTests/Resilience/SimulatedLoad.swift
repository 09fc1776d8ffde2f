import MicroTesting
import Testing

@testable import Micro

/// What became of a call.
struct CallRecord: Sendable, Hashable {
    var id: Int
    /// Since the world began.
    var began: Duration
    var took: Duration
    /// Who answered; nil: nobody did.
    var node: String?
    var error: String?
}

/// The calls of a load, in the order of their ids.
struct LoadRecord: Sendable {
    var calls: [CallRecord]

    var failed: [CallRecord] { calls.filter { $0.error != nil } }

    /// Those that began in that time of the world.
    func within(_ range: Range<Duration>) -> LoadRecord {
        LoadRecord(calls: calls.filter { range.contains($0.began) })
    }

    /// Of so many of a hundred; zero without calls.
    func percentile(_ percent: Int) -> Duration {
        let sorted = calls.map(\.took).sorted()
        guard !sorted.isEmpty else { return .zero }
        return sorted[min(sorted.count - 1, sorted.count * percent / 100)]
    }
}

extension SimulatedWorld {
    /// Calls "Greeter.Work" at a rate, whatever becomes of the calls, and waits for all of them.
    func load(
        _ clients: [Client], of service: String = "greeter", perSecond rate: Int,
        for duration: Duration, firstID: Int = 0,
        milliseconds: ClosedRange<Int> = 2...8,
        options: @escaping @Sendable (Int) -> CallOptions = { _ in .idempotent() }
    ) async throws -> LoadRecord {
        let records = Journal<CallRecord>()
        let count = Int((duration / .seconds(1)) * Double(rate))
        let pause = Duration.seconds(1) / rate
        let (clock, first) = (clock, clock.now)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<count {
                try await clock.sleep(until: first.advanced(by: pause * number))
                let client = clients[number % clients.count]
                let work = milliseconds.lowerBound + (number * 7) % milliseconds.count
                group.addTask {
                    let id = firstID + number
                    let began = self.elapsed
                    var record = CallRecord(id: id, began: began, took: .zero)
                    do {
                        record.node = try await client.call(
                            service, "Greeter.Work", Work(id: id, milliseconds: work),
                            options: options(id))
                    } catch {
                        record.error = "\(error)"
                    }
                    record.took = self.elapsed - began
                    records.write(record)
                }
            }
            try await group.waitForAll()
        }
        return LoadRecord(calls: records.entries.sorted { $0.id < $1.id })
    }
}
