import Testing

@testable import Micro

@Suite struct NodeDocumentTests {
    private func nodes(
        _ json: String, _ rules: NodeDocument.Rules = NodeDocument.Rules()
    ) throws -> [ServiceNode] {
        try NodeDocument.nodes(Array(json.utf8), rules: rules)
    }

    @Test func allFields() throws {
        let json = """
            {"nodes": [{
              "service": "greeter", "id": "g-1", "version": "1.2.0", "namespace": "test",
              "addresses": ["tcp://10.0.0.7:4711", "unix:///run/greeter"], "weight": 7,
              "zone": "eu-1", "state": "draining", "metadata": {"rack": "7"},
              "codecs": ["proto", "json"],
              "methods": [
                {"name": "Greeter.Hello", "request": "A", "reply": "B", "metadata": {"x": "y"}},
                {"name": "Greeter.Bye"}]
            }]}
            """
        let node = ServiceNode(
            id: "g-1", service: "greeter", version: "1.2.0", namespace: "test",
            addresses: ["tcp://10.0.0.7:4711", "unix:///run/greeter"], weight: 7, zone: "eu-1",
            state: .draining, metadata: ["rack": "7"], codecs: ["proto", "json"],
            methods: [
                EndpointDescription(
                    name: "Greeter.Hello", request: "A", reply: "B", metadata: ["x": "y"]),
                EndpointDescription(name: "Greeter.Bye"),
            ])
        #expect(try nodes(json) == [node])
    }

    @Test func fewFields() throws {
        #expect(try nodes(#"{"nodes": []}"#).isEmpty)
        #expect(try nodes("{}").isEmpty)
        let two = """
            {"nodes": [{"service": "a", "address": "tcp://[::1]:80"},
                       {"service": "b", "addresses": ["unix:///run/x"]}]}
            """
        #expect(
            try nodes(two) == [
                ServiceNode(id: "---1--80", service: "a", addresses: ["tcp://[::1]:80"]),
                ServiceNode(id: "-run-x", service: "b", addresses: ["unix:///run/x"]),
            ])
    }

    @Test func whatServersSay() throws {
        let rules = NodeDocument.Rules(service: "shop", ignoresOthers: true, scheme: "tcp://")
        let json = """
            {"nodes": [{"address": "10.0.0.7:80", "priority": 3, "metadata": null},
                       {"id": "x", "address": "tls://h:1", "service": "other"}], "error": null}
            """
        #expect(
            try nodes(json, rules) == [
                ServiceNode(id: "10.0.0.7-80", service: "shop", addresses: ["tcp://10.0.0.7:80"]),
                ServiceNode(id: "x", service: "other", addresses: ["tls://h:1"]),
            ])
    }

    @Test(
        arguments: [
            ("[]", ""), ("{", nil), ("", nil), ("null", ""), (#"{"node": []}"#, "node"),
            (#"{"nodes": {}}"#, "nodes"), (#"{"nodes": [1]}"#, "nodes[0]"),
            (#"{"nodes": [{"service": "a"}]}"#, "nodes[0].addresses"),
            (#"{"nodes": [{"address": "tcp://h:1"}]}"#, "nodes[0].service"),
            (#"{"nodes": [{"service": 1, "address": "tcp://h:1"}]}"#, "nodes[0].service"),
            (#"{"nodes": [{"service": "a b", "address": "tcp://h:1"}]}"#, "nodes[0].service"),
            (#"{"nodes": [{"service": "a", "adress": "tcp://h:1"}]}"#, "nodes[0].adress"),
            (#"{"nodes": [{"service": "a", "address": "h:1"}]}"#, "nodes[0].addresses"),
            (#"{"nodes": [{"service": "a", "addresses": [1]}]}"#, "nodes[0].addresses[0]"),
            (
                #"{"nodes": [{"service": "a", "addresses": ["tcp://h:1"], "address": "tcp://h:1"}]}"#,
                "nodes[0].address"
            ),
            (
                #"{"nodes": [{"service": "a", "address": "tcp://h:1", "weight": 0}]}"#,
                "nodes[0].weight"
            ),
            (
                #"{"nodes": [{"service": "a", "address": "tcp://h:1", "weight": -9e99}]}"#,
                "nodes[0].weight"
            ),
            (
                #"{"nodes": [{"service": "a", "address": "tcp://h:1", "state": "up"}]}"#,
                "nodes[0].state"
            ),
            (
                #"{"nodes": [{"service": "a", "address": "tcp://h:1", "metadata": {"k": 1}}]}"#,
                "nodes[0].metadata[\"k\"]"
            ),
            (
                #"{"nodes": [{"service": "a", "address": "tcp://h:1", "methods": [{}]}]}"#,
                "nodes[0].methods[0].name"
            ),
            (
                #"{"nodes": [{"service": "a", "address": "tcp://h:1"}, {"service": "a", "address": "tls://h:1"}]}"#,
                "nodes[1].id"
            ),
        ] as [(String, String?)])
    func mistakes(_ json: String, _ place: String?) {
        let error = #expect(throws: MicroError.self) { try nodes(json) }
        #expect(error?.code == .invalidArgument)
        if let place {
            #expect(error?.metadata["field"] == place)
            #expect(error?.detail.hasPrefix(place) == true)
        }
    }
}
