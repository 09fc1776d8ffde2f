/// How many calls run at the same time, a bulkhead; those beyond it are refused at once. Calls that
/// are ``CallPriority/sheddable`` get three quarters of it.
public struct ConcurrencyLimit: Sendable, Hashable, Codable {
    /// As an adaptive limit has them; of a fixed one both are the same.
    let least: Int
    let most: Int
    let isAdaptive: Bool

    /// - Parameter count: 1 to 1,000,000.
    public static func fixed(_ count: Int) -> ConcurrencyLimit {
        ConcurrencyLimit(least: count, most: count, isAdaptive: false)
    }

    /// A limit that is found out: it grows while calls take as long as they usually do and half of
    /// it or more is in use, and shrinks, to half in a second or so, when they take more than one
    /// and a half times as long (Gradient2 of Netflix's "concurrency-limits"). For handlers that
    /// wait for something that has a capacity nobody knows. What stays slow for a minute is taken
    /// as usual. Streams count, but how long they take does not. A tenth of it is kept for calls
    /// that are ``CallPriority/critical``.
    ///
    /// - Parameter range: What it stays within, 1 to 1,000,000; it begins at a tenth of the upper
    ///   bound. Default 20 to 1,000.
    public static func adaptive(_ range: ClosedRange<Int> = 20...1000) -> ConcurrencyLimit {
        ConcurrencyLimit(least: range.lowerBound, most: range.upperBound, isAdaptive: true)
    }

    private static let bounds = 1...1_000_000

    /// What can't be used of it; nil: nothing.
    var problem: String? {
        for value in [least, most] where !ConcurrencyLimit.bounds.contains(value) {
            return "the limit of calls at the same time is \(value): it must be 1 to 1,000,000"
        }
        return nil
    }

    func apply(to settings: inout LimiterSettings) {
        settings.inFlightMax = UInt32(clamping: most)
        settings.inFlightMin = isAdaptive ? UInt32(clamping: least) : 0
    }
}

/// `{"most": 10}`, or with "least" as well one that is found out between the two.
extension ConcurrencyLimit {
    private enum CodingKeys: String, CodingKey { case least, most }

    /// From its coded form.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let most = try values.decode(Int.self, forKey: .most)
        let least = try values.decodeIfPresent(Int.self, forKey: .least)
        guard let least, least > most else {
            self = least.map { .adaptive($0...most) } ?? .fixed(most)
            return
        }
        throw DecodingError.dataCorruptedError(
            forKey: .least, in: values, debugDescription: "least is \(least), most \(most)")
    }

    /// In its coded form.
    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        if isAdaptive { try values.encode(least, forKey: .least) }
        try values.encode(most, forKey: .most)
    }
}

extension ConcurrencyLimit: CustomStringConvertible {
    /// "10 at the same time", "20 to 1000 at the same time".
    public var description: String {
        "\(isAdaptive ? "\(least) to " : "")\(most) at the same time"
    }
}
