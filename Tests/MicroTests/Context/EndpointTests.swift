import Testing

@testable import Micro

@Suite struct EndpointTests {
    @Test(arguments: [
        ("Greeter.Hello", ["/svc/Greeter.Hello", "/svc.Greeter/Hello", "/Greeter/Hello"]),
        ("a.b.C.D", ["/svc/a.b.C.D", "/svc.a.b.C/D", "/a.b.C/D"]),
        ("Hello", ["/svc/Hello"]),
        ("pkg.Greeter/Hello", ["/pkg.Greeter/Hello", "/svc/pkg.Greeter/Hello"]),
    ])
    func paths(endpoint: String, paths: [String]) {
        #expect(EndpointPaths(service: "svc", endpoint: endpoint).all == paths)
    }

    @Test(arguments: [
        "Hello", "Greeter.Hello", "a.b/C", "A_b-9.Z", String(repeating: "a", count: 255),
    ])
    func validNames(name: String) {
        #expect(EndpointPaths.problem(withEndpoint: name) == nil)
    }

    @Test(arguments: [
        "", ".", "a.", ".a", "a..b", "/", "a/", "/a", "a/b/c", "a b", "a\0", "ä", "a%2fb", "a?b",
        "a\r\nb", String(repeating: "a", count: 256),
    ])
    func namesThatAreRefused(name: String) {
        #expect(EndpointPaths.problem(withEndpoint: name) != nil)
        #expect(EndpointPaths.problem(withService: name) != nil)
    }

    @Test func aServiceHasNoSlash() {
        #expect(EndpointPaths.problem(withService: "a/b") != nil)
        #expect(EndpointPaths.problem(withService: "a.b") == nil)
    }
}
