import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(2))) struct DNSRegisterTests {
    private func make(_ stub: DNSStub) throws -> DNSRegister {
        var options = try DNSOptions(parsing: "//\(stub.address)/test")
        options.intervalMin = .milliseconds(20)
        return try DNSRegister(options)
    }

    private func next(_ events: RegisterEvents) async -> RegisterEvent.Change? {
        var iterator = events.makeAsyncIterator()
        return await iterator.next()?.change
    }

    @Test func nodesComeFromServicesAndTexts() async throws {
        let stub = try DNSStub()
        defer { stub.close() }
        stub.set(
            "_grpc._tcp.shop.test",
            [
                .srv(priority: 0, weight: 9, port: 80, target: "a.test"),
                .txt([
                    "version=1.2.0", "zone=eu-1", "codecs=proto,json", "owner=me=you", "", "flag",
                ]),
            ])
        stub.set("a.test", [.a(10, 0, 0, 1)])
        let register = try make(stub)
        let expected = ServiceNode(
            id: "a.test-80", service: "shop", version: "1.2.0", addresses: ["tcp://10.0.0.1:80"],
            weight: 9, zone: "eu-1", metadata: ["owner": "me=you"], codecs: ["proto", "json"])
        #expect(try await register.lookup("shop") == [expected])
        #expect(try await register.lookup("shop", namespace: "*") == [expected])
        #expect(try await register.lookup("shop", namespace: "other") == [])
        #expect(try await register.lookup("none") == [])
        #expect(register.name == "dns")
        #expect(
            register.describe()
                == "the dns names _grpc._tcp.{service}.test of \(stub.address)")
        await register.close()
    }

    @Test func changesAreTold() async throws {
        let stub = try DNSStub()
        defer { stub.close() }
        let register = try make(stub)
        let events = register.watch("shop")
        #expect(await next(events) == .snapshot([]))
        stub.set("a.test", [.a(10, 0, 0, 1)])
        stub.set("_grpc._tcp.shop.test", [.srv(priority: 0, weight: 9, port: 80, target: "a.test")])
        guard case .added(let node) = await next(events) else { return #expect(Bool(false)) }
        #expect(node.addresses == ["tcp://10.0.0.1:80"])
        stub.set("a.test", [.a(10, 0, 0, 2)])
        guard case .updated(let moved) = await next(events) else { return #expect(Bool(false)) }
        #expect(moved.addresses == ["tcp://10.0.0.2:80"])
        stub.answersServerFailure = true
        guard case .interrupted(let error) = await next(events) else {
            return #expect(Bool(false))
        }
        #expect(error.code == .unavailable)
        stub.answersServerFailure = false
        #expect(await next(events) == .snapshot([moved]))
        stub.set("_grpc._tcp.shop.test", [])
        #expect(await next(events) == .removed(moved))
        await register.close()
        #expect(await next(events) == nil)
        #expect(await next(register.watch("shop")) == nil)
        await #expect(throws: MicroError.self) { try await register.lookup("shop") }
    }

    @Test func itIsReadOnly() async throws {
        let register = try DNSRegister()
        let node = ServiceNode(id: "a", service: "shop", addresses: ["tcp://10.0.0.1:80"])
        let error = await #expect(throws: MicroError.self) {
            try await register.register(node, ttl: .seconds(90))
        }
        #expect(error?.code == .unimplemented)
        #expect(error?.reason == "READ_ONLY")
        #expect(error?.detail.contains("can only be read") == true)
        try await register.deregister(node)
        let list = await #expect(throws: MicroError.self) { try await register.list() }
        #expect(list?.code == .unimplemented)
        let other = register.watch("shop", namespace: "other")
        #expect(await next(other) == .snapshot([]))
        await register.close()
    }

    @Test(
        arguments: [
            ("", "_grpc._tcp.{service}", nil, []),
            ("shop.example", "_grpc._tcp.{service}.shop.example", nil, []),
            ("shop.example.:4711", "{service}.shop.example.", 4711, []),
            ("_{service}._tcp.example", "_{service}._tcp.example", nil, []),
            ("{service}-headless:80", "{service}-headless", 80, []),
            (
                "//10.0.0.53,[::1]:54/a.example", "_grpc._tcp.{service}.a.example", nil,
                ["10.0.0.53", "[::1]:54"]
            ),
            ("//10.0.0.53", "_grpc._tcp.{service}", nil, ["10.0.0.53"]),
        ] as [(String, String, UInt16?, [String])])
    func urls(_ text: String, _ name: String, _ port: UInt16?, _ servers: [String]) throws {
        let options = try DNSOptions(parsing: text)
        #expect(options.name == name)
        #expect(options.port == port)
        #expect(options.servers == servers)
        #expect(try makeRegister(url: "dns:" + text).name == "dns")
    }

    @Test(arguments: [
        "a b", "a..b", ".a", "shop.example:0", "shop.example:x", "shop.example:70000", "{name}.x",
        "{service", "//1,2,3,4,5,6,7,8,9/a",
    ])
    func wrongURLs(_ text: String) {
        let error = #expect(throws: MicroError.self) { try makeRegister(url: "dns:" + text) }
        #expect(error?.code == .invalidArgument)
    }

    @Test func idsAreNames() {
        #expect(DNSNodes.id("fd00::1%eth0", 80) == "fd00__1_eth0-80")
        #expect(DNSNodes.id("Pod-1.Shop", 80) == "pod-1.shop-80")
        #expect(RegisterName.isValid(DNSNodes.id(String(repeating: "x.", count: 140), 65535)))
    }
}
