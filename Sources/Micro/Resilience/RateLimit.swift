/// How many calls are let in within a time; those beyond it are refused at once.
public struct RateLimit: Sendable, Hashable, Codable {
    enum Kind: Sendable, Hashable {
        case tokens(Int, burst: Int)
        case window(Int)
    }

    let kind: Kind
    let period: Duration

    /// A token bucket: a call takes a token, and `count` of them are added in each `period`, one at
    /// a time and evenly.
    ///
    /// - Parameters:
    ///   - count: 1 to 1,000,000,000, and not more than one in a nanosecond.
    ///   - period: 1 ms to 1 day.
    ///   - burst: What the bucket holds, and so how many calls are let in at once after a pause;
    ///     1 to 1,000,000. Default: `count`.
    public static func tokens(
        _ count: Int, per period: Duration, burst: Int? = nil
    ) -> RateLimit {
        RateLimit(kind: .tokens(count, burst: burst ?? min(count, maxBurst)), period: period)
    }

    /// A sliding window: at most `count` calls in the `period` before any moment, estimated from
    /// two counters (the calls of the window before are taken as spread evenly).
    ///
    /// - Parameters:
    ///   - count: 1 to 1,000,000,000.
    ///   - period: 1 ms to 1 day.
    public static func window(_ count: Int, per period: Duration) -> RateLimit {
        RateLimit(kind: .window(count), period: period)
    }

    private static let maxCount = 1_000_000_000
    private static let maxBurst = 1_000_000
    /// The longest time that a full bucket may stand for, 146 years.
    private static let maxDepth = UInt64(1) << 62

    /// What can't be used of it; nil: nothing.
    var problem: String? {
        guard period >= .milliseconds(1), period <= .seconds(86_400) else {
            return "the period of a rate limit is \(period): it must be 1 ms to 1 day"
        }
        let count =
            switch kind {
            case .tokens(let count, _), .window(let count): count
            }
        guard (1...RateLimit.maxCount).contains(count), count <= period.unsignedNanoseconds else {
            return "the rate limit is \(count) in \(period): it must be 1 to 1,000,000,000, "
                + "and not more than one in a nanosecond"
        }
        guard case .tokens(_, let burst) = kind else { return nil }
        guard (1...RateLimit.maxBurst).contains(burst) else {
            return "the burst of a rate limit is \(burst): it must be 1 to 1,000,000"
        }
        let interval = period.unsignedNanoseconds / UInt64(count) + 1
        guard UInt64(burst) < RateLimit.maxDepth / interval else {
            return "a burst of \(burst) at \(count) in \(period) takes too long to fill"
        }
        return nil
    }

    func apply(to settings: inout LimiterSettings) {
        switch kind {
        case .tokens(let count, let burst):
            settings.tokens = UInt64(clamping: count)
            settings.tokenPeriod = period.unsignedNanoseconds
            settings.tokensMax = UInt64(clamping: burst)
        case .window(let count):
            settings.windowMax = UInt32(clamping: count)
            settings.window = period.unsignedNanoseconds
        }
    }
}

/// `{"tokens": 100, "per": "1s", "burst": 20}` or `{"window": 100, "per": "1s"}`.
extension RateLimit {
    private enum CodingKeys: String, CodingKey { case tokens, window, per, burst }

    /// From its coded form.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let period = try values.decode(Duration.self, forKey: .per)
        if let count = try values.decodeIfPresent(Int.self, forKey: .window) {
            self = .window(count, per: period)
        } else {
            self = .tokens(
                try values.decode(Int.self, forKey: .tokens), per: period,
                burst: try values.decodeIfPresent(Int.self, forKey: .burst))
        }
    }

    /// In its coded form.
    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(period, forKey: .per)
        switch kind {
        case .tokens(let count, let burst):
            try values.encode(count, forKey: .tokens)
            try values.encode(burst, forKey: .burst)
        case .window(let count):
            try values.encode(count, forKey: .window)
        }
    }
}

extension RateLimit: CustomStringConvertible {
    /// "100 in 1.0 seconds, 20 at once".
    public var description: String {
        switch kind {
        case .tokens(let count, let burst): "\(count) in \(period), \(burst) at once"
        case .window(let count): "\(count) in any \(period)"
        }
    }
}
