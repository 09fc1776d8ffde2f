import Testing

@testable import Micro

@Suite struct RegisterURLTests {
    @Test func knownOnes() async throws {
        #expect(try makeRegister(url: "memory:").name == "memory")
        #expect(try makeRegister(url: "MEMORY:").name == "memory")
        #expect(try makeRegister(url: "local:").describe().hasSuffix("/register.sqlite"))
        for url in ["local:/tmp/x/reg", "local:///tmp/x/reg"] {
            let register = try makeRegister(url: url)
            #expect(register.name == "local")
            #expect(register.describe() == "the local register /tmp/x/reg")
        }
    }

    @Test func files() throws {
        let register = try makeRegister(url: "file:/etc/shop/nodes.json")
        #expect(register.name == "file")
        #expect(register.describe() == "the file register /etc/shop/nodes.json")
    }

    @Test func networks() throws {
        #expect(try makeRegister(url: "mdns:").describe() == "the mdns register")
        #expect(try makeRegister(url: "mdns:eth0").describe() == "the mdns register on eth0")
    }

    @Test func enginesOfOthers() throws {
        let engines: [String: RegisterFactory] = [
            "etcd": { url, environment in
                #expect(url.rest == "//127.0.0.1:2379")
                return MemoryRegister(environment: environment)
            }
        ]
        #expect(try makeRegister(url: "etcd://127.0.0.1:2379", engines: engines).name == "memory")
        let error = #expect(throws: MicroError.self) {
            try makeRegister(url: "consul:", engines: engines)
        }
        #expect(error?.code == .invalidArgument)
        #expect(error?.detail.contains("etcd, file, local, mdns, memory") == true)
        #expect(error?.detail.contains("\"consul\"") == true)
        let missing = #expect(throws: MicroError.self) { try makeRegister(url: "etcds://host") }
        #expect(missing?.detail.contains("MicroEtcd") == true)
    }

    @Test(arguments: [
        "", ":", "memory", "/tmp/x", "memory:/x", "local:x", "local://host/x", "local:/tmp/",
        "file:", "file:x", "mdns://eth0",
        "lo cal:", "\u{0}:",
    ])
    func wrongOnes(_ url: String) {
        let error = #expect(throws: MicroError.self) { try makeRegister(url: url) }
        #expect(error?.code == .invalidArgument)
    }
}
