import Testing

@testable import Micro

@Suite struct MDNSTextTests {
    private let whole = ServiceNode(
        id: "g-1", service: "greeter", version: "1.2", namespace: "test",
        addresses: ["tcp://10.0.0.7:4711", "unix:///run/x"], weight: 7, zone: "eu \u{e4}",
        state: .draining, metadata: ["": "x", "a=b": "\u{1F600}\u{0}"], codecs: ["json", "a b"],
        methods: [
            EndpointDescription(name: "A.B", request: "R", reply: "S", metadata: ["schema": "{}"]),
            EndpointDescription(name: "A.C"),
        ])

    @Test func everythingComesBack() throws {
        let text = try MDNSText.encode(whole, addresses: whole.addresses, machine: "m")
        #expect(text.first.map { String(decoding: $0, as: UTF8.self) } == "txtvers=1")
        #expect(text.allSatisfy { $0.count <= 255 })
        let read = try #require(MDNSText.decode(text, id: "other", addresses: []))
        #expect(read.node == whole)
        #expect(read.machine == "m")
        // A few fields only.
        let small = ServiceNode(id: "a", service: "s", addresses: ["tcp://h:1"], codecs: ["json"])
        let few = try MDNSText.encode(small, addresses: small.addresses, machine: "m")
        #expect(
            few.map { String(decoding: $0, as: UTF8.self) } == [
                "txtvers=1", "service=s", "id=a", "addresses=tcp://h:1", "machine=m", "codecs=json",
            ])
        #expect(MDNSText.decode(few, id: "", addresses: [])?.node == small)
    }

    @Test func schemasAndMethodsGoWhenThereIsTooMuch() throws {
        var node = whole
        for index in 0..<10 {
            node.methods.append(
                EndpointDescription(
                    name: "Method\(index)",
                    metadata: ["schema": String(repeating: "x", count: 200)]))
        }
        func read() throws -> ServiceNode? {
            let text = try MDNSText.encode(node, addresses: node.addresses, machine: "m")
            #expect(text.reduce(0) { $0 + $1.count + 1 } <= MDNSText.bytesMax)
            return MDNSText.decode(text, id: "", addresses: [])?.node
        }
        #expect(try read()?.methods.map(\.name) == node.methods.map(\.name))
        #expect(try read()?.methods.allSatisfy { $0.metadata.isEmpty } == true)
        for index in 10..<200 { node.methods.append(EndpointDescription(name: "Method\(index)")) }
        #expect(try read()?.methods.isEmpty == true)
        node.metadata = ["large": String(repeating: "y", count: 3_000)]
        #expect(try read()?.metadata == node.metadata)
        node.metadata = ["large": String(repeating: "y", count: 4_000)]
        let error = #expect(throws: MicroError.self) { try read() }
        #expect(error?.code == .invalidArgument)
    }

    @Test func strangers() {
        func read(_ strings: [String], addresses: [String] = ["tcp://10.0.0.1:80"]) -> ServiceNode?
        {
            MDNSText.decode(strings.map { Array($0.utf8) }, id: "web-1", addresses: addresses)?.node
        }
        #expect(
            read(["service=web", "Version=2", "version=3", "=x", "flag", "path=/"])
                == ServiceNode(
                    id: "web-1", service: "web", version: "2", addresses: ["tcp://10.0.0.1:80"]))
        #expect(read([]) == nil)
        #expect(read(["path=/"]) == nil)
        #expect(read(["service=a b"]) == nil)
        #expect(read(["service=web"], addresses: []) == nil)
        #expect(read(["service=web", "weight=x"]) == nil)
        #expect(read(["service=web", "weight=0"]) == nil)
        #expect(read(["service=web", "addresses=0.0.0.0:80"]) == nil)
        #expect(read(["service=web", "addresses=tcp://0.0.0.0:80"]) == nil)
        #expect(read(["service=web", "metadata=[1]"]) == nil)
        #expect(read(["service=web", "metadata={\"a\":1}"]) == nil)
        #expect(read(["service=web", "methods={}"]) == nil)
        #expect(read(["service=web", "codecs=["]) == nil)
        #expect(read(["service=web", "state=later"])?.state == .starting)
    }

    @Test func names() {
        func key(_ id: String, _ service: String, _ namespace: String = "micro") -> ServiceNode.Key
        {
            ServiceNode.Key(namespace: namespace, service: service, id: id)
        }
        #expect(MDNSName.instance(key("a", "b")) == "a@b")
        #expect(MDNSName.instance(key("a", "b", "test")) == "a@b/test")
        let long = String(repeating: "x", count: 255)
        let names = [
            key(long, "b"), key(long, "c"), key("a", long), key("a", long, "test"),
        ].map(MDNSName.instance)
        #expect(Set(names).count == 4)
        #expect(names.allSatisfy { $0.utf8.count <= 63 })
        #expect(MDNSName.subtype("greeter") == "_greeter")
        #expect(MDNSName.subtype(long).isEmpty)
        #expect(RegisterName.made(of: "Web server (2)") == "Web-server--2-")
    }

    @Test(arguments: [
        ("tcp://127.0.0.1:1", AddressReach.machine), ("tcp://[::1]:1", .machine),
        ("tls://localhost:1", .machine), ("unix:///run/x", .machine),
        ("tcp://10.1.2.3:1", .network),
        ("tcp://172.16.0.1:1", .network), ("tcp://192.168.0.1:1", .network),
        ("tcp://100.64.0.1:1", .network), ("tcp://169.254.1.1:1", .network),
        ("tcp://host.local:1", .network), ("x://anything", .network),
        ("tcp://[fd00::2]:1", .network), ("tcp://[fe80::1]:1", .network),
        ("tcp://8.8.8.8:1", .world), ("tcp://172.32.0.1:1", .world),
        ("tcp://[2001:db8::1]:1", .world), ("tls://[::ffff:8.8.8.8]:1", .world),
    ])
    func reach(_ address: String, _ reach: AddressReach) {
        #expect(AddressReach(of: address) == reach)
    }
}
