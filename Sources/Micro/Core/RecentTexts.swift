internal import CMicroCore

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// Strings that were made of texts of the core. Peers repeat the few that they have (a content
/// type, the id of a node) with every answer, and those are not made again. For one thread.
final class RecentTexts {
    private struct Entry {
        var text = ""
        var isValid = false
    }

    private var entries = [Entry](repeating: Entry(), count: RecentTexts.count)
    private static let count = 32
    /// Longer ones are not kept; shorter than that is cheaper to make than to find.
    private static let bytesMax = 128
    private static let bytesInPlace = 15

    /// The text; invalid UTF-8 becomes U+FFFD.
    func string(_ slice: mcore_slice) -> String {
        guard let data = slice.data, slice.len > RecentTexts.bytesInPlace,
            slice.len <= RecentTexts.bytesMax
        else { return String(slice) }
        let bytes = UnsafeRawBufferPointer(start: data, count: slice.len)
        let index = RecentTexts.index(of: bytes)
        if entries[index].isValid, entries[index].text.isSame(as: bytes) {
            return entries[index].text
        }
        let text = String(slice)
        // One that had to be repaired is not the text that it was made of.
        if text.utf8.count == slice.len, text.isSame(as: bytes) {
            entries[index] = Entry(text: text, isValid: true)
        }
        return text
    }

    private static func index(of bytes: UnsafeRawBufferPointer) -> Int {
        let head = bytes.loadUnaligned(as: UInt64.self)
        let tail = bytes.loadUnaligned(fromByteOffset: bytes.count - 8, as: UInt64.self)
        let mixed = (head ^ tail &* 0x9E37_79B9_7F4A_7C15) &* 0xC2B2_AE3D_27D4_EB4F
        return Int(truncatingIfNeeded: mixed >> 32) & (count - 1)
    }
}

extension String {
    fileprivate func isSame(as bytes: UnsafeRawBufferPointer) -> Bool {
        utf8.withContiguousStorageIfAvailable { own in
            guard own.count == bytes.count, let first = own.baseAddress,
                let other = bytes.baseAddress
            else { return false }
            return memcmp(first, other, own.count) == 0
        } ?? false
    }
}
