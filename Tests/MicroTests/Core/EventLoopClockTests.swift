import Testing

@testable import Micro

@Suite struct EventLoopClockTests {
    typealias Instant = EventLoopClock.Instant

    @Test func instantsMove() {
        let instant = Instant(nanoseconds: 1000)
        #expect(instant.advanced(by: .nanoseconds(24)) == Instant(nanoseconds: 1024))
        #expect(instant.advanced(by: .nanoseconds(-24)) == Instant(nanoseconds: 976))
        #expect(instant.advanced(by: .zero) == instant)
        #expect(instant.duration(to: Instant(nanoseconds: 1500)) == .nanoseconds(500))
        #expect(instant.duration(to: Instant(nanoseconds: 400)) == .nanoseconds(-600))
        #expect(Instant(nanoseconds: 1) < Instant(nanoseconds: 2))
        #expect(!(Instant(nanoseconds: 2) < Instant(nanoseconds: 2)))
    }

    @Test func arithmeticSaturatesAtBothEnds() {
        let (first, last) = (Instant(nanoseconds: 0), Instant(nanoseconds: .max))
        for forEver in [Duration.seconds(Int64.max), .nanoseconds(Int64.max)] {
            #expect(last.advanced(by: forEver) == last)
            #expect(first.advanced(by: .zero - forEver) == first)
        }
        #expect(first.advanced(by: .seconds(Int64.min)) == first)
        #expect(last.advanced(by: .seconds(Int64.min)).nanoseconds == UInt64(Int64.max))
        #expect(Instant(nanoseconds: 5).advanced(by: .nanoseconds(-6)) == first)
        #expect(first.duration(to: last) == .nanoseconds(Int64.max))
        #expect(last.duration(to: first) == .nanoseconds(-Int64.max))
    }

    @Test func movingAndMeasuringAgree() {
        var random = SeededRandom(seed: 3)
        for _ in 0..<1000 {
            let start = Instant(nanoseconds: .random(in: (1 << 40)...(1 << 60), using: &random))
            let move = Duration.nanoseconds(
                Int64.random(in: -(1 << 40)...(1 << 60), using: &random))
            #expect(start.duration(to: start.advanced(by: move)) == move)
        }
    }

    @Test func durationsAsNanoseconds() {
        #expect(Duration.seconds(2).clampedNanoseconds == 2_000_000_000)
        #expect(Duration.milliseconds(-3).clampedNanoseconds == -3_000_000)
        #expect(
            Duration(secondsComponent: 0, attosecondsComponent: 999_999_999)
                .clampedNanoseconds == 0)
        #expect(Duration.seconds(Int64.max).clampedNanoseconds == .max)
        #expect(Duration.seconds(Int64.min).clampedNanoseconds == .min)
        #expect(Duration.nanoseconds(Int64.max).clampedNanoseconds == .max)
        #expect(Duration.nanoseconds(Int64.min).clampedNanoseconds == .min)
        // One beyond what fits, in the part below a second.
        #expect((Duration.nanoseconds(Int64.max) + .nanoseconds(1)).clampedNanoseconds == .max)
        #expect((Duration.nanoseconds(Int64.min) - .nanoseconds(1)).clampedNanoseconds == .min)
        #expect(Duration.seconds(-1).unsignedNanoseconds == 0)
        #expect(Duration.microseconds(7).unsignedNanoseconds == 7000)
    }

    @Test func durationsAsMillisecondsAreRoundedUp() {
        #expect(Duration.zero.clampedMilliseconds == 0)
        #expect(Duration.nanoseconds(1).clampedMilliseconds == 1)
        #expect(Duration.milliseconds(1).clampedMilliseconds == 1)
        #expect(Duration.microseconds(1001).clampedMilliseconds == 2)
        #expect(Duration.seconds(-1).clampedMilliseconds == 0)
        #expect(Duration.seconds(Int64.max).clampedMilliseconds == .max)
    }

    @Test func theClockGoesOnAndNeverBack() async throws {
        let clock = Environment.current.clock
        var last = clock.now
        for _ in 0..<1000 {
            let now = clock.now
            #expect(last <= now)
            last = now
        }
        try await clock.sleep(for: .milliseconds(2))
        #expect(last.duration(to: clock.now) >= .milliseconds(2))
        #expect(clock.minimumResolution == .milliseconds(1))
    }
}
