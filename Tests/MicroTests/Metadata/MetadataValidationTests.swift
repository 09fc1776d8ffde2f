import Testing

@testable import Micro

@Suite struct MetadataValidationTests {
    @Test(arguments: ["a", "x-request-id", "a.b_c-9", "0", String(repeating: "a", count: 255)])
    func validNames(name: String) {
        #expect(Metadata.isValidName(name))
    }

    @Test(arguments: [
        "", "A", "a b", "a\n", "a:b", ":path", "é", "a/b", "a\0", "a\r\nx", "\u{212A}",
        String(repeating: "a", count: 256),
    ])
    func invalidNames(name: String) throws {
        #expect(!Metadata.isValidName(name))
        guard name != "A" else { return }  // stored as "a"
        var metadata = Metadata()
        metadata.append(name, "v")
        let error = try #require(throws: MicroError.self) { try metadata.validate() }
        #expect(error.code == .invalidArgument)
        #expect(error.metadata["field"] == name.shortened(to: 64))
    }

    @Test(arguments: [
        "v", "", "a b", "a\tb", "é", "日本語", "!~", String(repeating: "x", count: 8000),
    ])
    func validValues(value: String) throws {
        try (["name": value] as Metadata).validate()
    }

    @Test(arguments: [
        "a\r\nx: y", "a\n", "\r", "a\0b", "\u{7F}", "\u{1B}[0m", "\u{1}", " a", "a ", "\ta", "a\t",
        " ",
    ])
    func invalidValues(value: String) throws {
        let metadata: Metadata = ["fine": "x", "Tenant": value, "other": "y"]
        let error = try #require(throws: MicroError.self) { try metadata.validate() }
        #expect(error.code == .invalidArgument)
        #expect(error.metadata == ["field": "tenant"])
        #expect(error.detail.contains("tenant"))
    }

    @Test func faultsDoNotPrintValues() throws {
        let metadata: Metadata = ["authorization": "s3cret\n"]
        let error = try #require(throws: MicroError.self) { try metadata.validate() }
        #expect(!error.debugDescription.contains("s3cret"))
    }

    @Test func kindsFollowTheName() throws {
        #expect(throws: MicroError.self) { try (["a-bin": "text"] as Metadata).validate() }
        var metadata = Metadata()
        metadata[binary: "a"] = [1]
        #expect(throws: MicroError.self) { try metadata.validate() }
        metadata = Metadata()
        metadata[binary: "a-bin"] = [0, 10, 13, 255]
        try metadata.validate()
    }

    @Test(arguments: [
        "Content-Length", "connection", "grpc-timeout", "TE", "transfer-encoding", "host",
    ])
    func reservedNames(name: String) {
        #expect(Metadata.isReserved(name))
        #expect(throws: MicroError.self) { try ([name: "x"] as Metadata).validate() }
        #expect(!Metadata.isReserved("x-\(name)"))
    }

    @Test func countsEntries() throws {
        var metadata = Metadata()
        for _ in 0..<128 { metadata.append("a", "") }
        try metadata.validate()
        metadata.append("a", "")
        let error = try #require(throws: MicroError.self) { try metadata.validate() }
        #expect(error.code == .resourceExhausted)
        try metadata.validate(limits: .init(entries: 129))
    }

    @Test func countsBytesAsHTTP2Does() throws {
        #expect((["ab": "cde", "f": ""] as Metadata).byteCount == 5 + 32 + 1 + 32)
        var bytes = Metadata()
        bytes[binary: "a-bin"] = [1, 2, 3]
        #expect(bytes.byteCount >= 5 + 4 + 32)
        let metadata: Metadata = ["a": String(repeating: "x", count: 8192 - 33)]
        #expect(metadata.byteCount == 8192)
        try metadata.validate()
        let error = try #require(throws: MicroError.self) {
            try metadata.merging(["b": ""]).validate()
        }
        #expect(error.code == .resourceExhausted)
        try metadata.merging(["b": ""]).validate(limits: .init(bytes: 8225))
    }
}
