import Micro
import MicroTesting
import Testing

@Suite struct MemorySyncTests {
    @Test(arguments: SyncConformance.checks, [1, 2, 3] as [UInt64])
    func conforms(check: String, seed: UInt64) async throws {
        try await withSimulation(seed: seed) {
            try await SyncConformance { MemorySync() }.run([check])
        }
    }
}
