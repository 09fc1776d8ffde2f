import Testing

@testable import Micro

@Suite struct DurationTextTests {
    @Test(arguments: [
        ("0", Duration.zero), ("5s", .seconds(5)), ("250ms", .milliseconds(250)),
        ("1.5s", .milliseconds(1500)), ("1h30m", .seconds(5400)), ("2d", .seconds(172_800)),
        ("10us", .microseconds(10)), ("10µs", .microseconds(10)), ("-3s", .seconds(-3)),
        ("1m0.5s", .milliseconds(60_500)),
    ])
    func reads(text: String, expected: Duration) throws {
        let read = try #require(Duration(text: text))
        #expect(abs((read - expected) / .nanoseconds(1)) < 1)
    }

    @Test(arguments: [
        "", "5", "s", "-", "5 s", "5x", "1s2", "1.2.3s", "1e9s", "infs", "nans", "99999999999999d",
        "5S", "٣s", "+5s", "--5s", ".s",
    ])
    func refuses(_ text: String) { #expect(Duration(text: text) == nil) }
}
