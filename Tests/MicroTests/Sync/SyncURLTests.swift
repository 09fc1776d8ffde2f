import Micro
import MicroTesting
import Testing

@Suite struct SyncURLTests {
    @Test func whatIsNamedIsMade() async throws {
        #expect(try makeSync(url: "memory:") is MemorySync)
        #expect(try makeSync(url: "store:", store: MemoryStore()) is StoreSync)
        let mine = try makeSync(
            url: "mine://host", engines: ["mine": { _, _ in StoreSync(MemoryStore()) }])
        #expect(mine is StoreSync)
        let stored = try makeSync(
            url: "records:", storeEngines: ["records": { _, _, _ in MemoryStore() }])
        let lease = try await stored.acquire("a", ttl: .seconds(60), timeout: .zero)
        try await stored.release(lease)
        await stored.close()
    }

    @Test func whatIsWrongIsNamed() {
        for (url, part) in [
            ("", "not a store"), ("memory:/x", "have no path"), ("store:", "needs a store"),
            ("etcd://127.0.0.1", "MicroEtcd"), ("paper:", "\"paper\" is not a kind"),
        ] {
            let error = #expect(throws: MicroError.self) { try makeSync(url: url) }
            #expect(error?.detail.contains(part) == true, "\(url): \(error?.detail ?? "")")
        }
    }
}
