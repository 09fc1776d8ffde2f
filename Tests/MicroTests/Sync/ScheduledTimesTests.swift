import Testing

@testable import Micro

@Suite struct ScheduledTimesTests {
    @Test func timesAreMultiplesSince1970() throws {
        let times = try ScheduledTimes(interval: .seconds(60), offset: .seconds(10), jitter: .zero)
        for (now, due) in [(0, 10), (9, 10), (10, 70), (11, 70), (69, 70), (70, 130)] {
            #expect(times.next(after: .seconds(now)).due == .seconds(due), "after \(now)")
        }
        let (one, two) = (times.next(after: .seconds(70)), times.next(after: .seconds(100)))
        #expect(one.number == two.number)
        #expect(times.next(after: .seconds(130)).number == one.number + 1)
    }

    @Test func wrongTimesAreNamed() {
        for (interval, offset, jitter) in [
            (0.5, 0, 0), (60, 60, 0), (60, -1, 0), (60, 0, 60), (60, 0, -1), (4e7, 0, 0),
        ] {
            #expect(throws: MicroError.self) {
                try ScheduledTimes(
                    interval: .seconds(interval), offset: .seconds(offset),
                    jitter: .seconds(jitter))
            }
        }
    }
}
