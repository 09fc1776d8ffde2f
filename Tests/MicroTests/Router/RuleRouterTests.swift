import Synchronization
import Testing

@testable import Micro

/// Which rule a call meets, and where that leads.
@Suite struct RuleRouterTests {
    private func node(
        _ id: String, version: String = "1", zone: String = "",
        _ state: ServiceNode.State = .ready, _ metadata: [String: String] = [:]
    ) -> ResolvedNode {
        ResolvedNode(
            id: id, addresses: ["memory://\(id)"], zone: zone, state: state, version: version,
            metadata: metadata)
    }

    private func choice(
        _ rules: [RouteRule], _ call: RouteCall, zone: String = "", chance: UInt64 = 0
    ) throws -> String? {
        try RuleRouter(rules, zone: zone).rules(for: call.service)?
            .choice(for: call, chance: { chance })?.rule
    }

    private func route(
        _ rule: RouteRule, _ nodes: [ResolvedNode], zone: String = "", version: String? = nil
    ) throws -> [String] {
        let router = try RuleRouter([rule], zone: zone)
        let call = RouteCall("shop", "Cart.Add", version: version)
        let choice = router.rules(for: "shop")?.choice(for: call)
        return router.route(nodes, for: RouteQuery(version: version, choice: choice)).map(\.id)
    }

    // MARK: Conditions

    private static let conditions:
        [(change: @Sendable (inout RouteRule) -> Void, call: RouteCall, isMet: Bool)] = [
            ({ _ in }, RouteCall("shop", "Cart.Add"), true),
            ({ $0.service = "shop" }, RouteCall("shop", "Cart.Add"), true),
            ({ $0.service = "sh*" }, RouteCall("shop", "Cart.Add"), true),
            ({ $0.service = "cart" }, RouteCall("shop", "Cart.Add"), false),
            ({ $0.endpoint = "Cart.*" }, RouteCall("shop", "Cart.Add"), true),
            ({ $0.endpoint = "Cart.*" }, RouteCall("shop", "Order.Add"), false),
            ({ $0.endpoint = "*.Add" }, RouteCall("shop", "Order.Add"), true),
            ({ $0.headers = ["x-user": "7"] }, RouteCall("shop", "A"), false),
            (
                { $0.headers = ["x-user": "7"] },
                RouteCall("shop", "A", metadata: ["x-user": "7"]), true
            ),
            (
                { $0.headers = ["x-user": "7"] },
                RouteCall("shop", "A", metadata: ["x-user": "70"]), false
            ),
            (
                { $0.headers = ["x-user": "7"] },
                RouteCall("shop", "A", metadata: ["x-user": "6", "x-user": "7"]), true
            ),
            (
                { $0.headers = ["x-user": "7*"] },
                RouteCall("shop", "A", metadata: ["x-user": "70"]), true
            ),
            (
                { $0.headers = ["x-user": "*"] },
                RouteCall("shop", "A", metadata: ["x-user": ""]), true
            ),
            (
                { $0.headers = ["x-user": "*", "x-beta": "*"] },
                RouteCall("shop", "A", metadata: ["x-user": ""]), false
            ),
            ({ $0.version = "2" }, RouteCall("shop", "A"), false),
            ({ $0.version = "2" }, RouteCall("shop", "A", version: "2.1"), true),
            ({ $0.version = "=2" }, RouteCall("shop", "A", version: "2.1"), false),
            ({ $0.zone = "eu-*" }, RouteCall("shop", "A"), true),
            ({ $0.zone = "us-*" }, RouteCall("shop", "A"), false),
            ({ $0.percent = 0 }, RouteCall("shop", "A"), false),
            ({ $0.percent = 0.001 }, RouteCall("shop", "A"), true),
        ]

    @Test(arguments: conditions.indices)
    func aCallMeetsARule(index: Int) throws {
        let (change, call, isMet) = RuleRouterTests.conditions[index]
        var rule = RouteRule("r", to: [NodeSubset(version: "2")])
        change(&rule)
        #expect(try choice([rule], call, zone: "eu-1") == (isMet ? "r" : nil))
        let narrowed = try RuleRouter([rule], zone: "eu-1").rules(for: call.service)?
            .narrowed(to: call.endpoint)
        #expect(narrowed?.choice(for: call, chance: { 0 })?.rule == (isMet ? "r" : nil))
    }

    @Test func theFirstRuleDecidesAndWithoutOneAllNodesWill() throws {
        let rules = [
            RouteRule("one", headers: ["a": "*"], to: [.all]),
            RouteRule("none", percent: 0, to: [.all]),
            RouteRule("two", headers: ["b": "*"], to: [.all]),
        ]
        #expect(try choice(rules, RouteCall("s", "E", metadata: ["a": "", "b": ""])) == "one")
        #expect(try choice(rules, RouteCall("s", "E", metadata: ["b": ""])) == "two")
        #expect(try choice(rules, RouteCall("s", "E")) == nil)
        #expect(try RuleRouter([]).rules(for: "s") == nil)
        #expect(try RuleRouter([RouteRule("r", service: "t", to: [.all])]).rules(for: "s") == nil)
        #expect(DirectRouter().rules(for: "s") == nil)
    }

    // MARK: Subsets

    @Test func aSubsetIsByVersionZoneAndMetadata() throws {
        let nodes = [
            node("a", version: "1.0", zone: "x"), node("b", version: "1.1", zone: "y"),
            node("c", version: "2.0", zone: "x", .ready, ["gpu": "", "tier": "gold"]),
        ]
        func to(_ subset: NodeSubset, zone: String = "") throws -> [String] {
            try route(RouteRule("r", to: [subset]), nodes, zone: zone)
        }
        #expect(try to(.all) == ["a", "b", "c"])
        #expect(try to(NodeSubset(version: "1")) == ["a", "b"])
        #expect(try to(NodeSubset(version: "=1.1")) == ["b"])
        #expect(try to(NodeSubset(zone: "x")) == ["a", "c"])
        #expect(try to(NodeSubset(zone: NodeSubset.ownZone), zone: "y") == ["b"])
        #expect(try to(NodeSubset(zone: NodeSubset.ownZone)) == ["a", "b", "c"])
        #expect(try to(NodeSubset(metadata: ["gpu": "*"])) == ["c"])
        #expect(try to(NodeSubset(metadata: ["tier": "go*", "gpu": ""])) == ["c"])
        #expect(try to(NodeSubset(version: "1", metadata: ["gpu": "*"])) == [])
    }

    @Test func theFallbackIsAChain() throws {
        let nodes = [
            node("a1", version: "1", zone: "a"), node("b2", version: "2", zone: "b", .starting),
            node("c3", version: "3", zone: "c", .draining),
        ]
        func to(
            _ first: NodeSubset, _ fallback: NodeSubset...,
            otherwise: RouteRule.Otherwise = .fail, version: String? = nil
        ) throws -> [String] {
            try route(
                RouteRule("r", to: [first], fallback: fallback, otherwise: otherwise), nodes,
                version: version)
        }
        let (two, three, four) = (
            NodeSubset(version: "2"), NodeSubset(version: "3"), NodeSubset(version: "4")
        )
        #expect(try to(two) == [])
        #expect(try to(two, four) == [])
        #expect(try to(two, four, otherwise: .any) == ["a1"])
        #expect(try to(two, four, .all) == ["a1"])
        #expect(try to(two, three) == ["c3"])
        // A ready node further down comes before one that drains.
        #expect(try to(three, NodeSubset(zone: "a")) == ["a1"])
        // What the call asks for holds all the way.
        #expect(try to(four, .all, version: "3") == ["c3"])
        #expect(try to(four, NodeSubset(zone: "a"), version: "3") == [])
    }

    @Test func whyThereIsNoneIsSaid() throws {
        let nodes = [
            node("a", version: "1"), node("b", version: "2", .starting), node("c", version: "3"),
        ]
        let rule = RouteRule(
            "canary", to: [NodeSubset(version: "2")],
            fallback: [NodeSubset(version: "4"), NodeSubset(zone: "far \"x\"")])
        let choice = try RuleRouter([rule]).rules(for: "s")?.choice(for: RouteCall("s", "E"))
        let query = RouteQuery(choice: choice)
        #expect(
            query.account(of: nodes)
                == #"version 2 has 1 that starts, version 4 has no node, "#
                + #"zone "far \"x\"" has no node, of 3 in all"#)
        #expect(
            RouteQuery(version: "9", choice: choice).account(of: nodes).hasSuffix(
                "has no node, of version 9, of 3 in all"))
    }

    // MARK: Shares

    /// 10^5 keys: what is measured is within four standard deviations of what was asked for.
    @Test(arguments: [0.5, 5, 33.3, 50, 99])
    func percentagesAreKept(percent: Double) throws {
        let rule = RouteRule("r", percent: percent, key: "x-user", to: [.all])
        let rules = try #require(RouteRules([rule], for: "s"))
        let count = 100_000
        var met = 0
        for user in 0..<count {
            let call = RouteCall("s", "E", metadata: ["x-user": "\(user)"])
            if rules.choice(for: call) != nil { met += 1 }
        }
        let share = percent / 100
        let deviation = (share * (1 - share) * Double(count)).squareRoot()
        #expect(abs(Double(met) - share * Double(count)) < 4 * deviation, "\(met)")
    }

    @Test func weightsAreKept() throws {
        let rule = RouteRule(
            "split", key: "x-user",
            to: [
                NodeSubset(version: "a", weight: 5), NodeSubset(version: "b", weight: 0),
                NodeSubset(version: "c", weight: 20), NodeSubset(version: "d", weight: 75),
            ])
        let rules = try #require(RouteRules([rule], for: "s"))
        var counts: [String: Int] = [:]
        for user in 0..<100_000 {
            let call = RouteCall("s", "E", metadata: ["x-user": "\(user)"])
            let version = rules.choice(for: call)?.subsets.first?.version?.description
            counts[version ?? "", default: 0] += 1
        }
        #expect(counts.keys.sorted() == ["a", "c", "d"])
        for (version, share) in ["a": 0.05, "c": 0.2, "d": 0.75] {
            #expect(abs(Double(counts[version] ?? 0) / 100_000 - share) < 0.006, "\(counts)")
        }
    }

    /// A user stays on one side: in every process, and as the canary grows.
    @Test func aCanaryKeepsItsCallersAsItGrows() throws {
        func canaries(_ weight: Int, _ name: String = "canary") throws -> Set<Int> {
            let rule = RouteRule(
                name, key: "x-user",
                to: [
                    NodeSubset(version: "2", weight: weight),
                    NodeSubset(version: "1", weight: 100 - weight),
                ])
            let rules = try #require(RouteRules([rule], for: "s"))
            return Set(
                (0..<10_000).filter { user in
                    let call = RouteCall("s", "E", metadata: ["x-user": "user-\(user)"])
                    return rules.choice(for: call)?.subsets.first?.version == "2"
                })
        }
        let (small, large) = (try canaries(5), try canaries(20))
        #expect(small == (try canaries(5)))
        #expect(small.isSubset(of: large))
        #expect(small.count < large.count)
        // Each rule makes its own cut: not the same users are hit by all of them.
        let other = try canaries(5, "other")
        #expect(Double(small.intersection(other).count) < Double(small.count) * 0.25)
    }

    @Test func theKeyIsTheHeadersThenTheCallsThenTheRequests() throws {
        let rule = RouteRule("r", percent: 50, key: "x-user", to: [.all])
        let rules = try #require(RouteRules([rule], for: "s"))
        func isMet(_ call: RouteCall, chance: UInt64 = 0) -> Bool {
            rules.choice(for: call, chance: { chance }) != nil
        }
        for user in 0..<200 {
            let user = "\(user)"
            let byHeader = isMet(
                RouteCall(
                    "s", "E", metadata: ["x-user": user, "x-request-id": "\(user)!"], key: "?"))
            #expect(
                isMet(RouteCall("s", "E", metadata: ["x-request-id": "!"], key: user)) == byHeader)
            #expect(isMet(RouteCall("s", "E", metadata: ["x-request-id": user])) == byHeader)
        }
        #expect(isMet(RouteCall("s", "E"), chance: .max / 2))
        #expect(!isMet(RouteCall("s", "E"), chance: .max / 2 + 4096))
    }

    /// Which users a percentage hits must not change with a release.
    @Test func theCutIsFixed() throws {
        let rule = RouteRule("canary", percent: 10, key: "x-user", to: [.all])
        let rules = try #require(RouteRules([rule], for: "s"))
        let hit = (0..<60).filter { user in
            rules.choice(for: RouteCall("s", "E", metadata: ["x-user": "user-\(user)"])) != nil
        }
        #expect(hit == RuleRouterTests.hit)
        #expect(stableHash("") == 0xEF46_DB37_51D8_E999)
        #expect(stableHash("abc") == 0x44BC_2CF5_AD77_0999)
    }

    private static let hit = [0, 3, 24, 49, 54, 55, 57]

    // MARK: Changes

    @Test func anUpdateIsToldAndABadOneChangesNothing() throws {
        let router = try RuleRouter()
        let told = Mutex(0)
        let follower = router.changes?.follow { told.withLock { $0 += 1 } }
        let rules = [RouteRule("r", to: [.all])]
        try router.update(rules)
        #expect(router.rules == rules)
        #expect(told.withLock { $0 } == 1)
        try router.update(rules)
        #expect(told.withLock { $0 } == 1)
        #expect(throws: MicroError.self) { try router.update([RouteRule("", to: [])]) }
        #expect(router.rules == rules)
        #expect(throws: MicroError.self) { try RuleRouter([RouteRule("r", to: [])]) }
        #expect(router.changes?.count == 1)
        // A router over another one hands its changes on.
        let outer = try RuleRouter(over: router)
        #expect(outer.rules(for: "s") != nil)
        try router.update([])
        #expect(outer.rules(for: "s") == nil)
        #expect(outer.changes?.count == 1)
        withExtendedLifetime(follower) {}
    }

    @Test func whoHasGoneIsNotTold() throws {
        let changes = RouteChanges()
        let told = Mutex(0)
        do {
            let follower = changes.follow { told.withLock { $0 += 1 } }
            changes.tell()
            withExtendedLifetime(follower) {}
        }
        changes.tell()
        #expect(told.withLock { $0 } == 1)
        #expect(changes.count == 2)
    }
}
