/// Rules that may concern calls of one service, ready to be asked. The first that a call meets
/// decides.
public struct RouteRules: Sendable {
    private let rules: [ReadyRule]

    /// nil when no rule is about the service.
    ///
    /// - Parameters:
    ///   - rules: Those of all services, in order; they must be valid.
    ///   - service: The one that is called.
    ///   - zone: The caller's.
    public init?(_ rules: [RouteRule], for service: String, zone: String = "") {
        let own = rules.filter { $0.service.matches(service) && $0.zone.matches(zone) }
        guard !own.isEmpty else { return nil }
        self.rules = own.map { ReadyRule($0, zone: zone) }
    }

    private init(ready rules: [ReadyRule]) { self.rules = rules }

    /// Those for calls of one endpoint; nil when there are none.
    public func narrowed(to endpoint: String) -> RouteRules? {
        let own = rules.filter { $0.rule.endpoint.matches(endpoint) }
        return own.isEmpty ? nil : RouteRules(ready: own)
    }

    /// Where a call may go; nil when it meets no rule, and may go anywhere.
    ///
    /// - Parameters:
    ///   - call: Of the service that the rules are for.
    ///   - chance: Decides for a call that has no key. The same numbers give the same choice.
    public func choice(
        for call: RouteCall, chance: () -> UInt64 = { UInt64.random(in: 0...(.max)) }
    ) -> RouteChoice? {
        for ready in rules where ready.concerns(call) {
            guard let choice = ready.choice(for: call, chance) else { continue }
            return choice
        }
        return nil
    }
}

/// What is left to be looked at with each call.
private struct ReadyRule: Sendable {
    let rule: RouteRule
    /// One for each of the rule's subsets that has a weight, with all that may follow it.
    let choices: [RouteChoice]
    let weights: [Double]
    let weight: Double
    /// So that each rule makes its own cut through the keys, and two: which calls, and where.
    let seed: UInt64

    init(_ rule: RouteRule, zone: String) {
        self.rule = rule
        let last = rule.otherwise == .any ? rule.fallback + [.all] : rule.fallback
        let to = rule.to.filter { $0.weight > 0 }
        choices = to.map { first in
            var subsets: [NodeSubset] = []
            for subset in [first] + last {
                let subset = subset.resolved(in: zone)
                if !subsets.contains(subset) { subsets.append(subset) }
                if subset.isAll { break }
            }
            return RouteChoice(rule: rule.name, subsets: subsets)
        }
        weights = to.map { Double($0.weight) }
        weight = weights.reduce(0, +)
        seed = stableHash(rule.name)
    }

    func concerns(_ call: RouteCall) -> Bool {
        rule.endpoint.matches(call.endpoint)
            && (rule.version.map { $0.matches(call.version ?? "") } ?? true)
            && rule.headers.allSatisfy { name, pattern in
                call.metadata.values(name).contains(where: pattern.matches)
            }
    }

    /// nil when the call is not among the rule's part of all.
    func choice(for call: RouteCall, _ chance: () -> UInt64) -> RouteChoice? {
        if rule.percent >= 100, choices.count == 1 { return choices[0] }
        let key = key(of: call)
        func share(_ cut: UInt64) -> Double {
            (key.map { stableHash($0, seed: seed &+ cut) } ?? chance()).unitInterval
        }
        if rule.percent < 100, share(0) * 100 >= rule.percent { return nil }
        if choices.count == 1 { return choices[0] }
        var place = share(1) * weight
        for (choice, weight) in zip(choices, weights) {
            place -= weight
            if place < 0 { return choice }
        }
        return choices.last
    }

    private func key(of call: RouteCall) -> String? {
        rule.key.flatMap { call.metadata[$0] } ?? call.key
            ?? call.metadata[CallScope.requestIDHeader]
    }
}
