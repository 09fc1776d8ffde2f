import Foundation
import Testing

@testable import Micro

@Suite struct StoreURLTests {
    @Test func knownOnes() throws {
        #expect(try makeStore(url: "memory:").name == "memory")
        #expect(try makeStore(url: "MEMORY:").name == "memory")
        for url in ["sqlite:/tmp/x/shop", "sqlite:///tmp/x/shop", "SQLite:/tmp/x/shop"] {
            let store = try makeStore(url: url)
            #expect(store.name == "sqlite")
            #expect((store as? SQLiteStore)?.path == "/tmp/x/shop")
        }
    }

    @Test func ofThisUser() throws {
        let folder = try #require(PrivateFolder.state)
        for (url, file) in [("sqlite:", "store"), ("sqlite:or-ders_2", "or-ders_2")] {
            let store = try #require(try makeStore(url: url) as? SQLiteStore)
            #expect(store.path == "\(folder)/\(file).sqlite")
        }
    }

    @Test(arguments: [
        "", ":", "memory", "/tmp/x", "memory:x", "consul:", "s p:", "sqlite:relative/path",
        "sqlite:../x", "sqlite:a.b", "sqlite:Orders", "sqlite:/", "sqlite:/tmp/", "sqlite://host/x",
        "sqlite::memory:", "sqlite:/tmp/a\0b", "sqlite:file:/tmp/x?mode=memory",
        "sqlite:" + String(repeating: "a", count: 65), String(repeating: "a", count: 9_999) + ":",
    ])
    func refused(_ url: String) throws {
        let error = try #require(throws: MicroError.self) { try makeStore(url: url) }
        #expect(error.code == .invalidArgument)
        #expect(error.detail.utf8.count < 400)
    }

    @Test func enginesOfOthers() throws {
        let engines: [String: StoreFactory] = [
            "postgres": { url, environment, codecs in
                #expect(url.rest == "//ada@db/shop")
                return MemoryStore(environment: environment, codecs: codecs)
            }
        ]
        #expect(try makeStore(url: "postgres://ada@db/shop", engines: engines).name == "memory")
        let unknown = #expect(throws: MicroError.self) {
            try makeStore(url: "consul:", engines: engines)
        }
        #expect(unknown?.detail.contains("memory, postgres, sqlite") == true)
        for (url, module) in [("postgresql://x", "MicroPostgres"), ("redis://x", "MicroRedis")] {
            let error = #expect(throws: MicroError.self) { try makeStore(url: url) }
            #expect(error?.detail.contains(module) == true)
        }
    }
}
