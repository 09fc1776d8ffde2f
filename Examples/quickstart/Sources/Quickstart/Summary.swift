import Micro

/// What came of the calls of a pass.
struct Summary: Sendable {
    struct Failure: Sendable {
        let wasWritten: Bool
        let text: String
    }

    var callsPerNode: [String: Int] = [:]
    var retriesUnwritten = 0
    var retriesIdempotent = 0
    var failures: [Failure] = []
    var executions = 0

    mutating func add(_ report: CallReport, answered: Bool) {
        callsPerNode[report.node, default: 0] += 1
        retriesUnwritten += report.retriesUnwritten
        retriesIdempotent += report.retriesIdempotent
        if !answered { failures.append(Failure(wasWritten: false, text: "a wrong answer from \(report.node)")) }
    }

    mutating func add(_ error: any Error) {
        failures.append(
            Failure(wasWritten: (error as? MicroError)?.wasWritten ?? false, text: "\(error)"))
    }

    mutating func add(_ other: Summary) {
        callsPerNode.merge(other.callsPerNode, uniquingKeysWith: +)
        retriesUnwritten += other.retriesUnwritten
        retriesIdempotent += other.retriesIdempotent
        failures += other.failures
    }

    func with(executions: Int) -> Summary {
        var copy = self
        copy.executions = executions
        return copy
    }

    func print() {
        let answered = callsPerNode.values.reduce(0, +)
        say("  answered              \(answered)")
        for (node, count) in callsPerNode.sorted(by: { $0.key < $1.key }) {
            say("    by \(node)  \(count)")
        }
        say("  retries, never written  \(retriesUnwritten)")
        say("  retries, idempotent     \(retriesIdempotent)")
        say("  handler runs beyond the calls  \(max(0, executions - answered - failures.count))")
        say("  failures              \(failures.count)")
        for failure in failures.prefix(3) { say("    \(failure.text)") }
    }
}
