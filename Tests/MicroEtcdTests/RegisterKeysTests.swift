import Micro
import Testing

@testable import MicroEtcd

@Suite struct RegisterKeysTests {
    @Test func keysAndNames() throws {
        let node = ServiceNode(
            id: "n-1", service: "greeter.v1", namespace: "test_2", addresses: ["unix:///x"])
        #expect(RegisterKeys.key(of: node) == "/test_2/greeter.v1/n-1")
        let name = try #require(RegisterKeys.Name(Array("/test_2/greeter.v1/n-1".utf8)))
        #expect(name.namespace == "test_2")
        #expect(name.service == "greeter.v1")
        #expect(name.id == "n-1")
    }

    @Test(arguments: [
        "", "/", "a/b/c", "/a/b", "/a/b/", "//b/c", "/a/b/c/d", "/a/b/c/", "/a b/c/d", "/*/b/c",
        "/a/b/\u{e4}",
    ])
    func noNode(_ key: String) {
        #expect(RegisterKeys.Name(Array(key.utf8)) == nil)
    }

    @Test func bytesThatAreNoTextAreNoNode() {
        #expect(RegisterKeys.Name(Array("/a/b/".utf8) + [0xff]) == nil)
        #expect(RegisterKeys.Name(Array("/a/b/c".utf8) + [0]) == nil)
    }

    @Test func rangesEndAtNames() {
        #expect(RegisterKeys.range(service: "a", namespace: "n") == .prefix("/n/a/"))
        #expect(RegisterKeys.range(service: nil, namespace: "n") == .prefix("/n/"))
        #expect(RegisterKeys.range(service: nil, namespace: "*") == .prefix("/"))
        #expect(RegisterKeys.range(service: "a", namespace: "*") == .prefix("/"))
    }
}
