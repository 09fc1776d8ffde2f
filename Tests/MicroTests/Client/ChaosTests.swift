import Testing

@testable import Micro

/// Many calls that are cancelled and run out of time at random: each ends once, nothing is left.
@Suite(.timeLimit(.minutes(5)))
struct ChaosTests {
    private struct Ends: Sendable, Hashable {
        var answered = 0
        var refused = 0
        var cancelled = 0
        var late = 0
        var unavailable = 0
        var other: [String] = []

        var all: Int { answered + refused + cancelled + late + unavailable + other.count }

        mutating func add(_ error: any Error) {
            switch (error as? MicroError)?.code {
            case .cancelled?: cancelled += 1
            case .deadlineExceeded?: late += 1
            case .aborted?: refused += 1
            case .unavailable?: unavailable += 1
            default: other.append("\(error)")
            }
        }
    }

    /// - Returns: How the calls ended, and the time when the last one had.
    private static func run(seed: UInt64, calls: Int, place: Place) async throws -> Ends {
        let environment = Environment.current
        let register = MemoryRegister()
        let (begun, ended) = (Tally(), Tally())
        let services = (0..<2).map { number in
            let service = makeService(at: place.address("greeter-\(number)"), in: register) {
                $0.gracePeriod = .seconds(30)
            }
            service.handle("Work") { (milliseconds: Int, context) -> Int in
                begun.add()
                defer { ended.add() }
                if milliseconds % 10 == 0 { throw MicroError("work", .aborted, "no") }
                try await context.clock.sleep(for: .milliseconds(milliseconds))
                // Some call on: then it is cancelled in the middle of that.
                if milliseconds % 3 == 0 {
                    return try await context.client.call("greeter", "Leaf", milliseconds)
                }
                return milliseconds
            }
            service.handle("Leaf") { (milliseconds: Int, context) -> Int in
                begun.add()
                defer { ended.add() }
                try await context.clock.sleep(for: .milliseconds(milliseconds % 5))
                return milliseconds
            }
            return service
        }
        let ends = Journal<Ends>()
        try await running(services[0], services[1]) {
            var random = SeededRandom(seed: seed)
            var tasks: [SpawnedTask] = []
            for _ in 0..<calls {
                let work = Int.random(in: 0...40, using: &random)
                let timeout = Int.random(in: 1...60, using: &random)
                let caller = environment.spawn {
                    var end = Ends()
                    do {
                        let reply: Int = try await services[0].client.call(
                            "greeter", "Work", work,
                            options: CallOptions(timeout: .milliseconds(timeout)))
                        #expect(reply == work)
                        end.answered = 1
                    } catch {
                        end.add(error)
                    }
                    ends.write(end)
                }
                tasks.append(caller)
                if Int.random(in: 0..<3, using: &random) == 0 {
                    let delay = Int.random(in: 0...30, using: &random)
                    tasks.append(
                        environment.spawn {
                            try? await environment.clock.sleep(for: .milliseconds(delay))
                            caller.cancel()
                        })
                }
                if Int.random(in: 0..<20, using: &random) == 0 {
                    try await environment.clock.sleep(for: .milliseconds(1))
                }
            }
            for task in tasks { await task.wait() }
        }
        #expect(begun.value == ended.value)
        #expect(services.allSatisfy { $0.statistics.calls == 0 })
        return ends.entries.reduce(into: Ends()) { sum, end in
            sum.answered += end.answered
            sum.refused += end.refused
            sum.cancelled += end.cancelled
            sum.late += end.late
            sum.unavailable += end.unavailable
            sum.other += end.other
        }
    }

    @Test(arguments: 0..<20)
    func everyCallEndsOnceInASimulation(seed: Int) async throws {
        let ends = try await withSimulation(seed: UInt64(seed)) {
            try await Self.run(seed: UInt64(seed), calls: 300, place: .simulation)
        }
        #expect(ends.all == 300)
        #expect(ends.other.isEmpty)
        #expect(ends.unavailable == 0)
        #expect(ends.answered > 0 && ends.cancelled > 0 && ends.late > 0 && ends.refused > 0)
        // The same seed, the same run.
        let again = try await withSimulation(seed: UInt64(seed)) {
            try await Self.run(seed: UInt64(seed), calls: 300, place: .simulation)
        }
        #expect(again == ends)
    }

    @Test(arguments: 0..<3)
    func everyCallEndsOnceOverSockets(seed: Int) async throws {
        let ends = try await Self.run(seed: UInt64(seed), calls: 2000, place: .tcp)
        #expect(ends.all == 2000)
        #expect(ends.other.isEmpty)
    }
}
