import ArgumentParser
import Foundation
import Micro
import MicroEtcd
import Synchronization

/// Calls "work" at a rate that does not depend on the answers, and writes a line for each call:
/// when it began (milliseconds), how long it took (microseconds), what came of it ("ok" or a code),
/// how many attempts there were, and the node. Prints "calling" when the first call was answered.
struct CallCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "call", abstract: "Call for a while, and keep a journal.")

    @Option(help: "Calls per second; 0: one after the other, on each of --width tasks.")
    var rate = 2000.0
    @Option(help: "Tasks of a rate of 0.") var width = 8
    @Option(help: "How long.") var seconds = 10.0
    @Option(help: "Of each call, in milliseconds.") var timeout = 2000
    @Option(help: "Attempts of each call.") var attempts = 3
    @Flag(help: "Only repeat what was not processed.") var once = false
    @Option(help: "The file of the journal.") var journal: String

    func run() async throws {
        let client = Client(registerEngines: EtcdRegister.engines)
        let journal = Journal()
        try await untilAnswered(client)
        say("calling")
        let options = CallOptions(
            timeout: .milliseconds(timeout),
            retry: once ? .unprocessed(attempts: attempts) : .idempotent(attempts: attempts))
        await withDiscardingTaskGroup { group in
            if rate > 0 {
                await callAtRate(client, options, journal, &group)
            } else {
                callInTurn(client, options, journal, &group)
            }
        }
        try journal.write(to: self.journal)
        await client.close()
        say("done")
    }

    private func untilAnswered(_ client: Client) async throws {
        let patience = CallOptions(timeout: .seconds(20), waitsForReady: true)
        let end = monotonicMilliseconds() + 30_000
        while true {
            do {
                _ = try await client.call("work", "Work.Do", 0, as: Int.self, options: patience)
                return
            } catch {
                guard monotonicMilliseconds() < end else { throw error }
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    private func callAtRate(
        _ client: Client, _ options: CallOptions, _ journal: Journal,
        _ group: inout DiscardingTaskGroup
    ) async {
        let start = monotonicMilliseconds()
        for n in 0..<Int(rate * seconds) {
            let due = start + Double(n) * 1000 / rate
            let early = due - monotonicMilliseconds()
            if early > 1 { try? await Task.sleep(for: .milliseconds(Int(early))) }
            group.addTask { await journal.record { try await one(client, n, options) } }
        }
    }

    private func callInTurn(
        _ client: Client, _ options: CallOptions, _ journal: Journal,
        _ group: inout DiscardingTaskGroup
    ) {
        let end = monotonicMilliseconds() + seconds * 1000
        for n in 0..<width {
            group.addTask {
                while monotonicMilliseconds() < end {
                    await journal.record { try await one(client, n, options) }
                }
            }
        }
    }
}

private func one(_ client: Client, _ n: Int, _ options: CallOptions) async throws -> CallReport {
    let response = try await client.response(
        "work", "Work.Do", n, as: Int.self, options: options)
    guard response.reply == n else { throw MicroError("faults", .dataLoss, "a wrong answer") }
    return response.report
}

/// What came of each call.
final class Journal: Sendable {
    private struct Entry: Sendable {
        var start: Double
        var microseconds: Double
        var code: String
        var attempts: Int
        var node: String
        var detail: String
    }

    private let entries = Mutex<[Entry]>([])

    func record(_ call: () async throws -> CallReport) async {
        let start = monotonicMilliseconds()
        var entry = Entry(
            start: start, microseconds: 0, code: "ok", attempts: 0, node: "", detail: "")
        do {
            let report = try await call()
            (entry.attempts, entry.node) = (report.attempts, report.node)
        } catch let error as MicroError {
            entry.code = "\(error.code)"
            entry.node = error.metadata["node"] ?? ""
            entry.detail = error.detail
        } catch {
            entry.code = "other"
            entry.detail = "\(error)"
        }
        entry.microseconds = (monotonicMilliseconds() - start) * 1000
        entries.withLock { $0.append(entry) }
    }

    func write(to path: String) throws {
        let lines = entries.withLock { entries in
            entries.sorted { $0.start < $1.start }.map { entry in
                let detail = entry.detail.replacing("\t", with: " ").replacing("\n", with: " ")
                return "\(entry.start)\t\(Int(entry.microseconds))\t\(entry.code)\t"
                    + "\(entry.attempts)\t\(entry.node)\t\(detail)"
            }
        }
        try (lines.joined(separator: "\n") + "\n").write(
            toFile: path, atomically: true, encoding: .utf8)
    }
}
