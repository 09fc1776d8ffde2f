import Micro
import MicroTesting
import MicroYAML
import Testing

@Suite struct YAMLConformanceTests {
    @Test func keepsTheContract() async throws {
        try await CodecConformance(YAMLCodec(), limits: [.isOpenEnded]).run()
    }

    @Test func keepsTheContractWithOtherOptions() async throws {
        let codec = YAMLCodec(maximumSize: .max, maximumDepth: 512, dates: .deferredToDate)
        try await CodecConformance(codec, limits: [.isOpenEnded]).run()
    }
}
