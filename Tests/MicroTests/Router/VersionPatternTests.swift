import Testing

@testable import Micro

@Suite struct VersionPatternTests {
    @Test(arguments: [
        ("1.2", "1.2", true), ("1.2", "1.2.7", true), ("1.2", "1.20", false),
        ("1.2", "1.2.0-rc.1", true), ("1.2.0", "1.2.0-rc.1", false), ("1.2.0", "1.2.0+7", true),
        ("1", "1.9.9", true), ("1", "10", false), ("1", "v1.4", true), ("v1", "1.4", true),
        ("v1", "v1", true), ("=1.2", "1.2", true), ("=1.2", "1.2.0", false), ("=v1", "1", false),
        ("latest", "latest", true), ("latest", "latest-2", false), ("vista", "ista", false),
        ("1", "", false),
    ])
    func matches(pattern: String, version: String, isMatch: Bool) {
        #expect(VersionPattern(pattern).matches(version) == isMatch)
    }
}
