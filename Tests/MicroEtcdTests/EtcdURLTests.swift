import Micro
import Testing

@testable import MicroEtcd

@Suite struct EtcdURLTests {
    @Test func hostsPrefixAndUser() throws {
        let options = try EtcdOptions(
            url: "etcd://a:1,b,[::1],[fe80::2]:7/sh%20op/x/?user=ad%26a&password=s%3D%25")
        #expect(options.endpoints == ["a:1", "b", "[::1]", "[fe80::2]:7"])
        #expect(
            options.addresses
                == ["tcp://a:1", "tcp://b:2379", "tcp://[::1]:2379", "tcp://[fe80::2]:7"])
        #expect(options.keyPrefix == "/sh op/x")
        #expect(options.user == "ad&a")
        #expect(options.password == "s=%")
        #expect(options.tls == nil)
        #expect(options.place == "etcd at a:1,b:2379,[::1]:2379,[fe80::2]:7")
        #expect(try EtcdOptions(url: "etcd://a").keyPrefix == "")
        #expect(try EtcdOptions(url: "etcd://a/").keyPrefix == "")
    }

    @Test func tls() throws {
        let options = try EtcdOptions(
            url: "etcds://a?ca=/ca.pem&cert=/c.pem&key=/c.key&server_name=etcd.example")
        #expect(options.addresses == ["tls://a:2379"])
        let tls = try #require(options.tls)
        #expect(tls.ca == .file("/ca.pem"))
        #expect(tls.certificate == .file("/c.pem"))
        #expect(tls.key == .file("/c.key"))
        #expect(tls.serverName == "etcd.example")
        #expect(try EtcdOptions(url: "etcds://a").tls?.ca == .system)
    }

    @Test(arguments: [
        "", "etcd", "etcd:", "etcd:a", "http://a", "etcd://", "etcd:///p", "etcd://a,", "etcd://,a",
        "etcd://a:0", "etcd://a:65536", "etcd://a:x", "etcd://a b", "etcd://u@a", "etcd://[::1",
        "etcd://[]:1", "etcd://::1", "etcd://a/%", "etcd://a/%4", "etcd://a/%gg", "etcd://a/%ff",
        "etcd://a/%00", "etcd://a?user", "etcd://a?user=", "etcd://a?user=x", "etcd://a?password=x",
        "etcd://a?user=x&user=y&password=z", "etcd://a?timeout=1", "etcd://a?ca=/x",
        "etcd://a/" + String(repeating: "x", count: 5000),
        "etcd://" + Array(repeating: "a", count: 65).joined(separator: ","),
    ])
    func wrongOnes(_ url: String) {
        let error = #expect(throws: MicroError.self) { try EtcdOptions(url: url) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.metadata["field"] == "url")
    }

    @Test func thePasswordIsNotShown() throws {
        let error = #expect(throws: MicroError.self) {
            try EtcdOptions(url: "etcd://a?user=u&password=geheim&x=1")
        }
        #expect(error.map { "\($0)".contains("geheim") } == false)
        let options = try EtcdOptions(url: "etcd://a?user=u&password=geheim")
        #expect(!EtcdRegister(options).describe().contains("geheim"))
    }

    @Test func enginesMakeRegisters() throws {
        let register = try makeRegister(
            url: "etcd://127.0.0.1:1/shop", engines: EtcdRegister.engines)
        #expect(register.name == "etcd")
        #expect(register.describe() == "etcd at 127.0.0.1:1")
        #expect(throws: MicroError.self) {
            try makeRegister(url: "etcds://", engines: EtcdRegister.engines)
        }
    }

    @Test func optionsThatCannotBeUsed() async {
        var options = EtcdOptions(endpoints: [])
        options.keepaliveInterval = .seconds(1)
        options.user = "u"
        #expect(options.problems.count == 3)
        let client = EtcdClient(options)
        let error = await #expect(throws: MicroError.self) { try await client.get("a") }
        #expect(error?.code == .invalidArgument)
        let second = await #expect(throws: MicroError.self) {
            try await client.watch(.key("a")) { _ in }
        }
        #expect(second?.code == .invalidArgument)
        await client.close()
    }
}
