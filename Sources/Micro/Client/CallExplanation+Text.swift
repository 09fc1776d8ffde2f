extension CallExplanation: CustomStringConvertible {
    /// Some lines of text, the nodes as a table; without an end of line.
    public var description: String {
        var lines = ["call      \(service) \(endpoint)"]
        lines.append("nodes     from \(source.name)\(ageText)")
        if let rule { lines.append("rule      \(rule.name): \(rule.text)") }
        if !nodes.isEmpty { lines += [""] + tableLines(head, rows) + [""] }
        if let pick { lines.append("pick      \(pickText(pick))") }
        if let time { lines.append("time      \(time.text)") }
        lines.append("retries   \(retry.text)")
        for policy in policies {
            let name = policy.name + String(repeating: " ", count: max(1, 10 - policy.name.count))
            lines.append("\(name)\(policy.state)")
        }
        if let failure { lines.append("fails     \(failure.detail)") }
        return lines.joined(separator: "\n")
    }

    private var ageText: String {
        source.age > 0 ? ", out of reach for \(secondsText(source.age))" : ""
    }

    private var head: [String] {
        ["NODE", "VERSION", "ZONE", "STATE", "ADDRESS", "CALLED", "WHY"]
    }

    private var rows: [[String]] {
        nodes.map { node in
            [
                node.id, node.version.isEmpty ? "-" : node.version,
                node.zone.isEmpty ? "-" : node.zone, node.state,
                node.address.isEmpty ? "-" : node.address, node.verdict.text,
                node.reason + (node.record.map { "; \($0.text)" } ?? ""),
            ]
        }
    }

    private func pickText(_ pick: Pick) -> String {
        if let node = pick.node { return "\(node), the only one" }
        return "one of \(pick.candidates) by \(pick.selector)"
    }
}

extension CallExplanation.Rule {
    fileprivate var text: String {
        steps.map { step in
            var counts = ["\(step.ready) ready"]
            if step.draining > 0 { counts.append("\(step.draining) draining") }
            if step.starting > 0 { counts.append("\(step.starting) starting") }
            return "\(step.subset) (\(counts.joined(separator: ", ")))"
        }.joined(separator: ", then ") + ", else fails"
    }
}

extension CallExplanation.Verdict {
    fileprivate var text: String {
        switch self {
        case .candidate: "yes"
        case .reserve: "last"
        case .no: "no"
        }
    }
}

extension CallExplanation.Record {
    fileprivate var text: String {
        var parts = ["connected on \(connected) of \(loops) loops"]
        if reserve > 0 { parts.append("\(why) on \(reserve)") }
        parts.append("\(inFlight) in flight, \(successes) answered, \(failures) not")
        if let latency { parts.append("mean \(secondsText(latency))") }
        return parts.joined(separator: ", ")
    }
}

extension CallExplanation.Time {
    fileprivate var text: String {
        "\(secondsText(total)), \(origin)"
            + (attempt.map { "; \(secondsText($0)) for one attempt" } ?? "")
    }
}

extension CallExplanation.Retry {
    fileprivate var text: String {
        guard attempts > 1 else { return "none\(waitText)" }
        let when =
            isIdempotent
            ? "also when the call may have been processed"
            : "only when the call was not processed"
        return "up to \(attempts) attempts, \(when); on another node at once, on the same after"
            + " up to 25 ms, doubled each time; retries at most \(budgetPercent) % of the calls,"
            + " or \(budgetPerSecond) a second\(waitText)"
    }

    private var waitText: String { waitsForReady ? "; waits for a node that can be reached" : "" }
}

/// "5 s", "1.25 s", "250 ms", "0.5 ms".
func secondsText(_ seconds: Double) -> String {
    guard seconds.magnitude < 1e12 else { return "\(seconds) s" }
    let (value, unit) = seconds >= 1 ? (seconds, "s") : (seconds * 1000, "ms")
    let thousandths = Int((value * 1000).rounded())
    var fraction = String(thousandths % 1000 + 1000).dropFirst()
    while fraction.last == "0" { fraction.removeLast() }
    return "\(thousandths / 1000)\(fraction.isEmpty ? "" : ".\(fraction)") \(unit)"
}
