import Testing

@testable import Micro

@Suite struct StoredMetadataTests {
    @Test func itComesBack() {
        var all = Metadata()
        all.append("tenant", "acme")
        all.append("tenant", "")
        all.append("long", String(repeating: "é", count: 5_000))
        all.append("raw-bin", bytes: [0, 255, 1])
        all.append("raw-bin", bytes: [])
        #expect(Metadata(storedBytes: all.storedBytes) == all)
        #expect(Metadata().storedBytes.isEmpty)
        #expect(Metadata(storedBytes: []) == Metadata())
    }

    @Test func whatWasCutIsRefused() {
        var metadata = Metadata()
        metadata.append("name", "value")
        let bytes = metadata.storedBytes
        for count in 1..<bytes.count {
            #expect(Metadata(storedBytes: Array(bytes.prefix(count))) == nil)
        }
        #expect(Metadata(storedBytes: [1, 0x61, 2, 0]) == nil)
        #expect(Metadata(storedBytes: [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]) == nil)
    }
}
