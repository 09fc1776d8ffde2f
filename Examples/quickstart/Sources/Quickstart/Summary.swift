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
    /// How often the handlers ran, in all processes.
    var executions = 0
    /// What was not as promised.
    private(set) var problems: [String] = []

    mutating func add(_ result: Result<CallReport, any Error>) {
        switch result {
        case .success(let report):
            callsPerNode[report.node, default: 0] += 1
            retriesUnwritten += report.retriesUnwritten
            retriesIdempotent += report.retriesIdempotent
        case .failure(let error):
            let wasWritten = (error as? MicroError)?.wasWritten ?? false
            failures.append(Failure(wasWritten: wasWritten, text: "\(error)"))
        }
    }

    mutating func add(_ other: Summary) {
        callsPerNode.merge(other.callsPerNode, uniquingKeysWith: +)
        retriesUnwritten += other.retriesUnwritten
        retriesIdempotent += other.retriesIdempotent
        failures += other.failures
    }

    mutating func expect(_ holds: Bool, _ problem: String) {
        if !holds { problems.append(problem) }
    }

    func print() {
        let answered = callsPerNode.values.reduce(0, +)
        say("  answered              \(answered)")
        for (node, count) in callsPerNode.sorted(by: { $0.key < $1.key }) {
            say("    by \(node)  \(count)")
        }
        say("  retries")
        say("    never written       \(retriesUnwritten)")
        say("    idempotent          \(retriesIdempotent)")
        say("  runs beyond the calls \(max(0, executions - answered - failures.count))")
        say("  failures              \(failures.count)")
        for failure in failures.prefix(3) { say("    \(failure.text)") }
    }
}
