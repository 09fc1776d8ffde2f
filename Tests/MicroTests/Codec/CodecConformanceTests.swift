import Micro
import MicroTesting
import Testing

@Suite struct CodecConformanceTests {
    @Test func json() async throws { try await CodecConformance(JSONCodec()).run() }

    @Test func sortedJSON() async throws {
        try await CodecConformance(JSONCodec(refusesDuplicates: true, sortsKeys: true)).run()
    }

    @Test func messagePack() async throws { try await CodecConformance(MessagePackCodec()).run() }

    @Test func cbor() async throws { try await CodecConformance(CBORCodec()).run() }

    @Test func form() async throws {
        try await CodecConformance(FormCodec(), limits: [.isFlat, .isOpenEnded]).run()
    }
}
