internal import CMicroCore

/// A hash of `text` that is the same on every machine and in every release: XXH64 of its UTF-8.
/// Not for tables keyed by foreign input.
package func stableHash(_ text: String, seed: UInt64 = 0) -> UInt64 {
    var text = text
    return text.withUTF8 { mcore_xxh64($0.baseAddress, $0.count, seed) }
}

extension UInt64 {
    /// Random bits, or a hash, as a number from 0 to below 1, of 53 bits.
    var unitInterval: Double { Double(self >> 11) * 0x1p-53 }
}
