import Micro
import Testing

@Suite struct PeerIdentityTests {
    @Test(arguments: [
        "spiffe://example.org", "spiffe://example.org/web", "spiffe://a-b.c_d/ns/Prod/sa/web.1",
    ])
    func theIDIsTheOneURI(uri: String) {
        #expect(PeerIdentity(subject: "CN=x", uris: [uri]).spiffeID == uri)
    }

    @Test(arguments: [
        "https://example.org/web", "spiffe:///web", "spiffe://", "SPIFFE://example.org/web",
        "spiffe://Example.org/web", "spiffe://example.org/", "spiffe://example.org//web",
        "spiffe://example.org/a/../b", "spiffe://example.org/./b", "spiffe://example.org/a/",
        "spiffe://example.org/web?x=1", "spiffe://example.org/web#f", "spiffe://example.org/w%65b",
        "spiffe://example.org:80/web", "spiffe://user@example.org/web", "spiffe://exämple.org/web",
    ])
    func anythingElseIsNone(uri: String) {
        #expect(PeerIdentity(subject: "CN=x", uris: [uri]).spiffeID == nil)
    }

    @Test func neitherAreTwo() {
        let one = "spiffe://example.org/web"
        #expect(PeerIdentity(subject: "CN=x", uris: [one, one]).spiffeID == nil)
        #expect(PeerIdentity(subject: "CN=x").spiffeID == nil)
        let long = one + "/" + String(repeating: "a", count: 2048)
        #expect(PeerIdentity(subject: "CN=x", uris: [long]).spiffeID == nil)
    }
}
