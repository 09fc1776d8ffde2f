/// How a server, or a service, ended.
public struct DrainReport: Sendable, Hashable {
    /// Connections that were open when the drain began.
    public var connections = 0
    /// Calls that were answered in order after it had begun, streams among them.
    public var finished = 0
    /// Of those: calls that stream.
    public var finishedStreams = 0
    /// Requests that were cut off because the grace was over.
    public var aborted = 0
    /// Handlers that went on though they were cancelled, and were not waited for any more.
    public var unfinished = 0
    /// How long it took to leave the register; nil: it could not, or was in none.
    public var deregistering: Duration?
    /// How long callers were given to learn of that.
    public var propagating: Duration = .zero
    /// From the first GOAWAY to the last connection.
    public var draining: Duration = .zero
    /// What failed, or did not end in time, with the reason.
    public var problems: [String] = []

    /// What the server of a service tells of its end.
    mutating func add(serverReport report: DrainReport) {
        connections = report.connections
        finished = report.finished
        finishedStreams = report.finishedStreams
        aborted = report.aborted
        unfinished = report.unfinished
        draining = report.draining
    }

    /// What a server on one loop tells of its end.
    mutating func add(_ counts: DrainCounts) {
        connections += counts.connections
        finished += counts.finished + counts.finishedStreams
        finishedStreams += counts.finishedStreams
        aborted += counts.aborted
        unfinished += counts.running
        draining = max(draining, counts.took)
    }
}

extension DrainReport: CustomStringConvertible {
    /// One line.
    public var description: String {
        var parts = [
            "\(finished) calls finished (\(finishedStreams) streams)", "\(aborted) aborted",
            "\(unfinished) did not end",
            deregistering.map { "out of the register in \($0)" } ?? "not out of a register",
            "\(propagating) for callers to learn of it", "drained in \(draining)",
        ]
        if !problems.isEmpty { parts.append("problems: \(problems.joined(separator: "; "))") }
        return parts.joined(separator: ", ")
    }
}
