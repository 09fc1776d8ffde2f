/// What limits the calls of an endpoint, or of a whole server. What is beyond is refused before its
/// message is read, with ``MicroError/Code-swift.struct/resourceExhausted`` (HTTP: 429 for a rate,
/// else 503), when to come again, and a word that it was not processed.
public struct CallLimits: Sendable, Hashable, Codable {
    /// How many calls in a time; nil: any number.
    public var rate: RateLimit?
    /// How many calls at the same time; nil: any number.
    public var concurrency: ConcurrencyLimit?

    /// No limits, but for what is given.
    public init(rate: RateLimit? = nil, concurrency: ConcurrencyLimit? = nil) {
        self.rate = rate
        self.concurrency = concurrency
    }

    /// What can't be used of them, each named.
    var problems: [String] { [rate?.problem, concurrency?.problem].compactMap(\.self) }

    var settings: LimiterSettings {
        var settings = LimiterSettings()
        rate?.apply(to: &settings)
        concurrency?.apply(to: &settings)
        return settings
    }
}
