import Testing

@testable import Micro

/// What a rule may say, and how it is written down.
@Suite struct RouteRuleTests {
    private func rule(_ change: (inout RouteRule) -> Void = { _ in }) -> RouteRule {
        var rule = RouteRule("r", to: [NodeSubset(version: "2")])
        change(&rule)
        return rule
    }

    private static let faults: [(field: String, change: @Sendable (inout RouteRule) -> Void)] = [
        ("name", { $0.name = "" }),
        ("name", { $0.name = String(repeating: "n", count: 256) }),
        ("service", { $0.service = TextPattern(String(repeating: "s", count: 1025)) }),
        ("callerVersion", { $0.version = "" }),
        ("headers[\"X-User\"]", { $0.headers = ["X-User": "7"] }),
        ("headers[\"x-key-bin\"]", { $0.headers = ["x-key-bin": "7"] }),
        ("headers", { $0.headers = .init((0..<65).map { ("h\($0)", "*") }) { $1 } }),
        ("percent", { $0.percent = -0.1 }),
        ("percent", { $0.percent = 100.5 }),
        ("percent", { $0.percent = .nan }),
        ("key", { $0.key = "x user" }),
        ("to", { $0.to = [] }),
        ("to", { $0.to = [NodeSubset(version: "1", weight: 0)] }),
        ("to[1].weight", { $0.to.append(NodeSubset(version: "1", weight: -1)) }),
        ("to[1].weight", { $0.to.append(NodeSubset(version: "1", weight: 1_000_001)) }),
        ("to[0].version", { $0.to[0].version = "" }),
        ("to[0].zone", { $0.to[0].zone = "" }),
        ("fallback[0]", { $0.fallback = [.all, NodeSubset(version: "1")] }),
    ]

    @Test(arguments: faults.indices)
    func whatIsWrongIsNamed(index: Int) throws {
        let (field, change) = RouteRuleTests.faults[index]
        let error = #expect(throws: MicroError.self) {
            try RouteRule.validate([RouteRule("other", to: [.all]), rule(change)])
        }
        #expect(error?.code == .invalidArgument)
        #expect(error?.metadata["field"] == "rules[1].\(field)")
        #expect(error?.detail.contains(field) == true)
        if field != "name" { #expect(error?.detail.hasPrefix("rule \"r\": ") == true) }
    }

    @Test func namesAreUsedOnceAndRulesAreNotManyThousands() {
        let twice = #expect(throws: MicroError.self) { try RouteRule.validate([rule(), rule()]) }
        #expect(twice?.detail == "rule \"r\": name is that of a rule before it")
        let many = #expect(throws: MicroError.self) {
            try RouteRule.validate(.init(repeating: rule(), count: 1025))
        }
        #expect(many?.metadata["field"] == "rules")
    }

    private static let written = """
        {"name":"canary","service":"shop","endpoint":"Cart.*","headers":{"x-tenant":"beta-*"},\
        "callerVersion":"2","callerZone":"eu-*","percent":50,"key":"x-user",\
        "to":[{"version":"2","weight":5},{"version":"1","zone":"@own","weight":95}],\
        "fallback":[{"metadata":{"tier":"gold"}}],"otherwise":"any"}
        """

    @Test func allOfItComesBackFromJSON() throws {
        let rule = RouteRule(
            "canary", service: "shop", endpoint: "Cart.*", headers: ["x-tenant": "beta-*"],
            version: "2", zone: "eu-*", percent: 50, key: "x-user",
            to: [
                NodeSubset(version: "2", weight: 5),
                NodeSubset(version: "1", zone: NodeSubset.ownZone, weight: 95),
            ], fallback: [NodeSubset(metadata: ["tier": "gold"])], otherwise: .any)
        let bytes = Array(RouteRuleTests.written.utf8)
        #expect(try JSONCodec().decode(RouteRule.self, from: bytes.span.bytes) == rule)
        let encoded = try JSONCodec().encode(rule)
        #expect(try JSONCodec().decode(RouteRule.self, from: encoded.span.bytes) == rule)
    }

    @Test func onlyANameAndNodesAreNeeded() throws {
        let bytes = Array(#"{"name":"r","to":[{"version":"2"}]}"#.utf8)
        #expect(try JSONCodec().decode(RouteRule.self, from: bytes.span.bytes) == rule())
        let encoded = try JSONCodec().encode(rule())
        #expect(
            String(decoding: encoded, as: UTF8.self) == #"{"name":"r","to":[{"version":"2"}]}"#)
    }

    private struct Settings: Codable, Sendable {
        var routing: [RouteRule] = []
    }

    @Test func aConfigurationHoldsThem() async throws {
        func load(_ json: String) async throws -> [RouteRule] {
            try await Config(
                Settings(), from: [TextSource(text: json)],
                validate: { try RouteRule.validate($0.routing) }
            ).current.routing
        }
        let read = try await load("{\"routing\": [\(RouteRuleTests.written)]}")
        #expect(read.map(\.name) == ["canary"])
        #expect(read.first?.to.map(\.weight) == [5, 95])
        let misspelt = try await microError {
            _ = try await load(#"{"routing": [{"name": "r", "to": [], "fallbak": []}]}"#)
        }
        #expect(misspelt.metadata["field"] == "routing[0].fallbak")
        let wrong = try await microError {
            _ = try await load(#"{"routing": [{"name": "r", "to": [{"weight": -1}]}]}"#)
        }
        #expect(wrong.detail.contains("rule \"r\": to[0].weight is -1"))
    }
}

private struct TextSource: ConfigSource {
    var text: String
    var name: String { "test" }

    func load(in environment: Environment) async throws -> ConfigLayer {
        .tree(try JSONCodec().decode(JSONValue.self, from: Array(text.utf8).span.bytes))
    }
}
