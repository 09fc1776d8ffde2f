/// Counts of latencies in nanoseconds, in buckets that grow with what they hold: 64 for each power
/// of two, so that a percentile is exact to 1.6 %. The idea is that of HdrHistogram
/// (hdrhistogram.org).
struct LatencyHistogram: Sendable {
    private static let bits = 6
    private var counts = [UInt64](repeating: 0, count: (64 - bits + 1) << bits)
    private(set) var max: UInt64 = 0
    private(set) var count: UInt64 = 0

    mutating func record(_ nanoseconds: UInt64) {
        counts[LatencyHistogram.bucket(of: nanoseconds)] += 1
        count += 1
        max = Swift.max(max, nanoseconds)
    }

    mutating func add(_ other: LatencyHistogram) {
        for index in counts.indices { counts[index] += other.counts[index] }
        count += other.count
        max = Swift.max(max, other.max)
    }

    /// The latency that `share` of all do not exceed, in microseconds; 0 when there are none.
    func percentile(_ share: Double) -> Double {
        let wanted = Swift.max(1, (share * Double(count)).rounded(.up))
        var seen: UInt64 = 0
        for (index, bucket) in counts.enumerated() {
            seen += bucket
            if Double(seen) >= wanted {
                return Double(Swift.min(max, LatencyHistogram.top(of: index))) / 1_000
            }
        }
        return 0
    }

    private static func bucket(of value: UInt64) -> Int {
        let width = UInt64.bitWidth - value.leadingZeroBitCount
        guard width > bits + 1 else { return Int(value) }
        let shift = width - bits - 1
        return (shift << bits) + Int(value >> UInt64(shift))
    }

    /// The largest value of a bucket.
    private static func top(of index: Int) -> UInt64 {
        guard index >= 2 << bits else { return UInt64(index) }
        let shift = index >> bits - 1
        let base = UInt64(index - shift << bits)
        return ((base + 1) << UInt64(shift)) - 1
    }
}
