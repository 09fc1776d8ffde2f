import Synchronization
import Testing

@testable import Micro

@Suite struct AlarmTests {
    private final class Rings: Sendable {
        let at = Mutex<[UInt64]>([])
        func add(_ instant: EventLoopClock.Instant) {
            at.withLock { $0.append(instant.nanoseconds) }
        }
        var milliseconds: [UInt64] { at.withLock { $0.map { $0 / 1_000_000 } } }
    }

    @Test func ringsAtTheEarliest() async throws {
        try await withSimulation(seed: 1) {
            let environment = Environment.current
            let clock = environment.clock
            let start = clock.now
            let rings = Rings()
            let alarm = Alarm(environment: environment) { rings.add(clock.now) }
            func after(_ milliseconds: Int64) -> EventLoopClock.Instant {
                start.advanced(by: .milliseconds(milliseconds))
            }
            let base = start.nanoseconds / 1_000_000
            alarm.arm(at: nil)
            alarm.arm(at: after(300))
            alarm.arm(at: after(100))
            alarm.arm(at: after(200))
            try await clock.sleep(for: .milliseconds(500))
            #expect(rings.milliseconds.map { $0 - base } == [100])
            alarm.arm(at: after(600))
            try await clock.sleep(for: .milliseconds(500))
            #expect(rings.milliseconds.map { $0 - base } == [100, 600])
            alarm.arm(at: after(2_000))
            alarm.stop()
            alarm.arm(at: after(1_500))
            try await clock.sleep(for: .seconds(5))
            #expect(rings.milliseconds.count == 2)
        }
    }

    @Test func endsWithItsOwner() async throws {
        try await withSimulation(seed: 1) {
            let clock = Environment.current.clock
            let rings = Rings()
            do {
                let alarm = Alarm(environment: .current) { rings.add(clock.now) }
                alarm.arm(at: clock.now.advanced(by: .milliseconds(10)))
            }
            try await clock.sleep(for: .seconds(1))
            #expect(rings.milliseconds.isEmpty)
        }
    }
}
