import Foundation
import Micro
import Synchronization

/// CPU per message of both sides together, since they are one process, and what many calls leave.
enum Measurements {
    static func run() async throws {
        for tls in [false, true] {
            try await Rig.run(tls: tls) { rig in
                let name = tls ? "TLS" : "plain"
                let tally = Tally()
                // First use, not counted.
                try await rig.repeated(2_000, width: 8) { try await rig.call(tally) }
                try await rig.pingPong(1_000, tally)
                try await rig.readStream(of: 10_000, tally)
                try await cost("\(name): unary calls, 8 at a time", of: 20_000) {
                    try await rig.repeated(20_000, width: 8) { try await rig.call(tally) }
                }
                try await cost("\(name): ping-pong on one stream", of: 10_000) {
                    try await rig.pingPong(10_000, tally)
                }
                try await cost("\(name): stream of 10,000 messages", of: 10_000) {
                    try await rig.readStream(of: 10_000, tally)
                }
            }
        }
        try await leftovers()
    }

    private static func cost(
        _ what: String, of count: Int, _ work: () async throws -> Void
    ) async throws {
        var costs: [Double] = []
        for _ in 0..<5 {
            let before = ProcessState.now().cpuSeconds
            try await work()
            costs.append((ProcessState.now().cpuSeconds - before) * 1_000_000 / Double(count))
        }
        costs.sort()
        say(
            String(
                format: "%@: %.2f us of CPU each, client and server (%.2f to %.2f)", what, costs[2],
                costs[0], costs[4]))
    }

    private static func leftovers() async throws {
        try await Rig.run(tls: false) { rig in
            let tally = Tally()
            try await rig.repeated(100_000, width: 16) { try await rig.call(tally) }
            try await rig.repeated(1_000, width: 16) { try await rig.abort(tally) }
            try await left("10,000 aborted streams", rig) {
                try await rig.repeated(10_000, width: 16) { try await rig.abort(tally) }
            }
            try await left("1,000,000 unary calls", rig) {
                try await rig.repeated(1_000_000, width: 16) { try await rig.call(tally) }
            }
        }
    }

    private static func left(
        _ what: String, _ rig: Rig, _ work: () async throws -> Void
    ) async throws {
        let before = ProcessState.now()
        try await work()
        try await Task.sleep(for: .milliseconds(500))
        let after = ProcessState.now()
        say(
            "\(what): \((after.residentBytes - before.residentBytes) / 1024) KiB more, "
                + "\(after.descriptors - before.descriptors) descriptors more, "
                + "\(rig.service.statistics.calls) handlers left")
    }
}
