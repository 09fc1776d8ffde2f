extension Client {
    /// What decides about calls to an endpoint beside its nodes, and how that is now.
    func policies(of service: String, _ endpoint: String) async -> [CallExplanation.Policy] {
        let policy = currentPolicies.policy(service, endpoint)
        var stats = CallGroupStats()
        for slot in madeSlots {
            let counted = try? await slot.loop.run { slot.stats(of: service, endpoint) }
            if let counted { stats.add(counted) }
        }
        return [policy.breakerText(stats), policy.limitsText(stats), policy.hedgingText(stats)]
            .compactMap(\.self)
    }
}

extension CallPolicy {
    fileprivate func breakerText(_ stats: CallGroupStats) -> CallExplanation.Policy? {
        guard let breaker, breaker.isOn else { return nil }
        let window = secondsText(breaker.window.seconds)
        let counted =
            stats.windowCalls == 0
            ? "no calls in the last \(window)"
            : "\(stats.windowAccepted) of \(stats.windowCalls) calls of the last \(window) accepted"
        let state =
            stats.rejectPermille == 0
            ? "closed, \(counted)"
            : "rejects \(stats.rejectPermille / 10) % of the calls, \(counted)"
        return CallExplanation.Policy(name: "breaker", state: state)
    }

    fileprivate func limitsText(_ stats: CallGroupStats) -> CallExplanation.Policy? {
        guard let limits else { return nil }
        let parts = [limits.rate.map { "\($0)" }, limits.concurrency.map { "\($0)" }]
        return CallExplanation.Policy(
            name: "limits",
            state: parts.compactMap(\.self).joined(separator: ", ")
                + "; \(stats.inFlight) in flight, \(stats.refusedByLimits) refused so far")
    }

    fileprivate func hedgingText(_ stats: CallGroupStats) -> CallExplanation.Policy? {
        guard let hedging, hedging.percent > 0 else { return nil }
        let after =
            hedging.after.map { "after \(secondsText($0.seconds))" }
            ?? "when a call takes longer than 95 %"
        return CallExplanation.Policy(
            name: "hedging",
            state: "\(after), at most \(hedging.percent) % of the calls; \(stats.hedges) so far")
    }
}
