import Micro
import Testing

@testable import MicroEtcd

@Suite struct NodeRecordTests {
    private func decode(_ json: String, key: String = "/micro/apples/a") throws -> ServiceNode {
        try NodeRecord.decode(EtcdKeyValue(key: Array(key.utf8), value: Array(json.utf8)))
    }

    @Test func everythingComesBack() throws {
        let node = ServiceNode(
            id: "a", service: "apples", version: "1.2", addresses: ["tcp://h:1", "unix:///x"],
            weight: 7, zone: "eu \u{e4}", state: .draining,
            metadata: ["": "x", "k\"": "\u{1F600}"],
            codecs: ["proto"],
            methods: [
                EndpointDescription(name: "A.B", request: "R", reply: "S", metadata: ["m": "n"]),
                EndpointDescription(name: "A.C"),
            ])
        let bytes = try NodeRecord.encode(node)
        #expect(
            try NodeRecord.decode(EtcdKeyValue(key: Array("/micro/apples/a".utf8), value: bytes))
                == node)
    }

    @Test func whatIsMissingHasItsStandardValue() throws {
        let json = """
            {"id":"a","service":"apples","namespace":"micro","addresses":["tcp://h:1"],
             "later":{"x":[1]},"methods":[{"name":"A.B"}]}
            """
        #expect(
            try decode(json)
                == ServiceNode(
                    id: "a", service: "apples", addresses: ["tcp://h:1"],
                    methods: [EndpointDescription(name: "A.B")]))
    }

    @Test func aStateOfALaterVersionGetsNoCalls() throws {
        let json = """
            {"id":"a","service":"apples","namespace":"micro","addresses":["tcp://h:1"],
             "state":"dreaming"}
            """
        #expect(try decode(json).state == .starting)
    }

    @Test(arguments: [
        "", "{}", "null", "[]", "\u{0}", "{\"id\":\"a\"",
        #"{"id":"b","service":"apples","namespace":"micro","addresses":["tcp://h:1"]}"#,
        #"{"id":"a","service":"pears","namespace":"micro","addresses":["tcp://h:1"]}"#,
        #"{"id":"a","service":"apples","namespace":"x","addresses":["tcp://h:1"]}"#,
        #"{"id":"a","service":"apples","namespace":"micro","addresses":[]}"#,
        #"{"id":"a","service":"apples","namespace":"micro","addresses":["tcp://0.0.0.0:1"]}"#,
        #"{"id":"a","service":"apples","namespace":"micro","addresses":["tcp://h:1"],"weight":0}"#,
        #"{"id":"a","service":"apples","namespace":"micro","addresses":["tcp://h:1"],"weight":-1}"#,
        #"{"id":"a","service":"apples","namespace":"micro","addresses":["tcp://h:1"],"weight":1e9}"#,
        #"{"id":"a","service":"apples","namespace":"micro","addresses":["tcp://h:1"],"weight":NaN}"#,
        #"{"id":"a","service":"apples","namespace":"micro","addresses":"tcp://h:1"}"#,
        String(repeating: "[", count: 100_000),
    ])
    func poison(_ json: String) {
        #expect(throws: MicroError.self) { try decode(json) }
    }

    @Test func aKeyOrASizeThatIsNoNodes() {
        #expect(throws: MicroError.self) { try decode("{}", key: "/micro/apples") }
        let large = String(repeating: " ", count: NodeRecord.bytesMax + 1)
        let error = #expect(throws: MicroError.self) { try decode(large) }
        #expect(error?.detail.contains("bytes") == true)
    }
}
