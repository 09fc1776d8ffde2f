/// One of the subsets that a call may use, and how many nodes there are for it.
struct RouteStep: Sendable, Hashable {
    var subset: NodeSubset
    /// Nodes in the subset that have all that the call asks for.
    var ready: Int
    /// The same, but they drain.
    var draining: Int
    /// The same, but they take no calls yet.
    var starting: Int
}

extension RouteQuery {
    /// How many nodes each step of a rule has for a call, in the order in which they are tried.
    func steps(among nodes: [ResolvedNode]) -> [RouteStep] {
        let steps = self.steps
        let able = nodes.filter { node in steps.contains { $0.matches(node) } }
        return subsets.map { subset in
            let members = able.filter(subset.matches)
            func count(_ state: ServiceNode.State) -> Int {
                members.count { $0.state == state }
            }
            return RouteStep(
                subset: subset, ready: count(.ready), draining: count(.draining),
                starting: count(.starting))
        }
    }

    /// For an error message: "version 2 has no node, version 1 has 1 that starts, of 3 in all".
    func account(of nodes: [ResolvedNode]) -> String {
        let steps = steps(among: nodes).map { step in
            switch (step.ready + step.draining, step.starting) {
            case (0, 0): "\(step.subset) has no node"
            case (0, let starting): "\(step.subset) has \(starting) that starts"
            case (let takers, _): "\(step.subset) has \(takers)"
            }
        }
        let wanted = version.map { ", of version \($0)" } ?? ""
        return steps.joined(separator: ", ") + "\(wanted), of \(nodes.count) in all"
    }
}
