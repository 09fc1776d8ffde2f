/// Durations in nanoseconds, counted in buckets that are linear within each power of two: a value
/// is known to better than 1 %.
struct Histogram {
    private static let bits = 7  // 128 buckets for each power of two
    private var counts = [UInt64](repeating: 0, count: (65 - bits) << bits)
    private(set) var count: UInt64 = 0
    private(set) var max: UInt64 = 0

    mutating func add(_ value: UInt64) {
        counts[Self.bucket(value)] += 1
        count += 1
        max = Swift.max(max, value)
    }

    func quantile(_ part: Double) -> Double {
        let rank = part * Double(count)
        var seen: UInt64 = 0
        for (bucket, count) in counts.enumerated() {
            seen += count
            if seen > 0 && Double(seen) >= rank { return Self.middle(bucket) }
        }
        return 0
    }

    private static func bucket(_ value: UInt64) -> Int {
        if value >> bits == 0 { return Int(value) }
        let shift = 63 - value.leadingZeroBitCount - bits
        return shift << bits + Int(value >> UInt64(shift))
    }

    private static func middle(_ bucket: Int) -> Double {
        if bucket >> bits < 2 { return Double(bucket) }
        let shift = bucket >> bits - 1
        let low = UInt64(bucket - shift << bits) << UInt64(shift)
        return Double(low) + Double(UInt64(1) << UInt64(shift)) / 2
    }
}
