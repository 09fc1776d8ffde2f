import Testing

@testable import Micro

@Suite struct TransportURLTests {
    @Test func kindsAndOptionsAreRead() throws {
        let plugin = try TransportURL("plugin:/opt/acme/rdma.so?queue=64&name=a%2Fb%20c&empty=")
        #expect(plugin.kind == .plugin(path: "/opt/acme/rdma.so"))
        #expect(plugin.options == ["queue": "64", "name": "a/b c", "empty": ""])
        #expect(try TransportURL("plugin:./a%3Fb.so").kind == .plugin(path: "./a?b.so"))
        #expect(try TransportURL("faulty:tcp?seed=7").kind == .faulty(scheme: "tcp"))
        #expect(try TransportURL("tcp").kind == .builtIn)
    }

    @Test(arguments: [
        ("", "is no transport"), ("quic", "is no transport"), ("tcp?x=1", "is no transport"),
        ("plugin:/x.so?ring", "\"ring\" that is not name=value"),
        ("plugin:/x.so?=1", "\"=1\" that is not name=value"),
        ("plugin:/x.so?a=1&a=2", "\"a\" twice"), ("plugin:/x.so?a=%2", "two hex digits"),
        ("plugin:/x.so?a=%00", "two hex digits"), ("plugin:/x.so?a=%zz", "two hex digits"),
        ("plugin:/x.so?a=%+1", "two hex digits"), ("plugin:/x%FF.so", "UTF-8"),
    ])
    func whatIsWrongIsNamed(_ text: String, _ problem: String) {
        let error = #expect(throws: MicroError.self) { try TransportURL(text) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.detail.contains(problem) == true, "\(error?.detail ?? "")")
        #expect(error?.detail.contains("\"\(text)\"") == true)
    }
}
