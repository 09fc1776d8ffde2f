import Foundation
import Micro
import Synchronization

/// Calls and streams for a while, and what memory, descriptors and handlers do meanwhile; or what a
/// message costs.
///
///     soak soak 120
///     soak measure
@main
struct Soak {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        switch (arguments.first, arguments.dropFirst().first.flatMap { Int($0) }) {
        case ("soak", let seconds?) where seconds >= 10: try await soak(for: seconds)
        case ("measure", _): try await Measurements.run()
        default:
            say("usage: soak soak SECONDS (10 or more) | soak measure")
            exit(2)
        }
    }

    private static func soak(for seconds: Int) async throws {
        var isSteady = true
        try await Rig.run(tls: true) { rig in
            let tally = Tally()
            // What is made on first use is made.
            try await rig.work(for: 5, tally)
            let before = ProcessState.now()
            let samples = try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await rig.work(for: seconds, tally) }
                let samples = try await sample(for: seconds, rig, tally)
                try await group.waitForAll()
                return samples
            }
            try await Task.sleep(for: .seconds(1))
            let after = ProcessState.now()
            isSteady = report(samples, before, after, rig, tally)
        }
        exit(isSteady ? 0 : 1)
    }

    private static func sample(
        for seconds: Int, _ rig: Rig, _ tally: Tally
    ) async throws -> [(second: Double, state: ProcessState)] {
        var samples: [(second: Double, state: ProcessState)] = []
        let begin = ContinuousClock.now
        let step = max(1, seconds / 60)
        for second in stride(from: step, to: seconds, by: step) {
            try await Task.sleep(until: begin + .seconds(second))
            let state = ProcessState.now()
            samples.append((Double(second), state))
            say(
                "\(second) s: \(state.residentBytes >> 10) KiB, \(state.descriptors) descriptors, "
                    + "\(rig.service.statistics.calls) handlers; "
                    + "\(tally.calls.load(ordering: .relaxed)) calls, "
                    + "\(tally.aborted.load(ordering: .relaxed)) streams aborted, "
                    + "\(tally.messages.load(ordering: .relaxed)) messages")
        }
        return samples
    }

    /// The slopes over the second half: before that, pools and caches fill.
    private static func report(
        _ samples: [(second: Double, state: ProcessState)], _ before: ProcessState,
        _ after: ProcessState, _ rig: Rig, _ tally: Tally
    ) -> Bool {
        let late = samples.suffix(samples.count / 2 + 1)
        // A connection may have been made on another loop after the first use.
        let settled = samples.prefix(samples.count / 2).map(\.state.descriptors).max() ?? 0
        let memory = slope(late.map { ($0.second / 60, Double($0.state.residentBytes) / 1024) })
        let descriptors = slope(late.map { ($0.second / 60, Double($0.state.descriptors)) })
        let handlers = rig.service.statistics.calls
        let failures = tally.failures.load(ordering: .relaxed)
        say(String(format: "memory: %+.1f KiB a minute", memory))
        say(String(format: "descriptors: %+.2f a minute", descriptors))
        say("descriptors before and after: \(before.descriptors), \(after.descriptors)")
        say("handlers that are left: \(handlers); failures: \(failures)")
        return handlers == 0 && failures == 0
            && after.descriptors <= max(settled, before.descriptors)
    }
}

extension Rig {
    /// All kinds of traffic at once.
    fileprivate func work(for seconds: Int, _ tally: Tally) async throws {
        let end = ContinuousClock.now + .seconds(seconds)
        let kinds: [@Sendable () async throws -> Void] = [
            { try await call(tally) }, { try await call(tally) }, { try await abort(tally) },
            { try await pingPong(100, tally) }, { try await readStream(of: 1000, tally) },
        ]
        await withTaskGroup(of: Void.self) { group in
            for kind in kinds {
                group.addTask {
                    while ContinuousClock.now < end {
                        do {
                            try await kind()
                        } catch {
                            tally.failures.add(1, ordering: .relaxed)
                            say("failed: \(error)")
                        }
                    }
                }
            }
        }
    }
}
