import Testing

@testable import Micro

@Suite struct HTTPPlaceTests {
    @Test(arguments: [
        ("http://h:8080/nodes", "tcp://h:8080", "h:8080", "/nodes?name=a"),
        ("http://h", "tcp://h:80", "h", "/?name=a"),
        ("https://h/x?y=1", "tls://h:443", "h", "/x?y=1&name=a"),
        ("HTTPS://h:1?y", "tls://h:1", "h:1", "/?y&name=a"),
        ("http://[::1]/", "tcp://[::1]:80", "[::1]", "/?name=a"),
        ("http://[::1]:81/", "tcp://[::1]:81", "[::1]:81", "/?name=a"),
    ])
    func places(_ url: String, _ address: String, _ host: String, _ target: String) throws {
        let place = try HTTPPlace(url)
        #expect(place.address.description == address)
        #expect(place.host == host)
        #expect(place.target("a") == target)
    }

    @Test(arguments: [
        "", "h:80", "ftp://h", "http://", "http:///x", "http://h:0/", "http://h:x/",
        "http://h:65536/", "http://u@h/", "http://h/a b", "http://h/#x", "http://h/\u{e4}",
    ])
    func others(_ url: String) {
        let error = #expect(throws: MicroError.self) { try HTTPPlace(url) }
        #expect(error?.code == .invalidArgument)
    }
}
