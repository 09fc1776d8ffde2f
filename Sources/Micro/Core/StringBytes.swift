#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

// Strings by the bytes of their UTF-8, without decoding them.
extension String {
    /// Whether the two have the same bytes: `==` takes spellings of one letter for equal.
    func hasBytes(of other: String) -> Bool {
        withBytes(self, other) { $0.count == $1.count && compare($0, $1, $0.count) == 0 }
    }

    /// Whether this one comes first when bytes are compared.
    func precedesInBytes(_ other: String) -> Bool {
        withBytes(self, other) { left, right in
            let order = compare(left, right, min(left.count, right.count))
            return order == 0 ? left.count < right.count : order < 0
        }
    }

    /// Whether the bytes begin with those of `prefix`.
    func hasExactPrefix(_ prefix: String) -> Bool {
        withBytes(self, prefix) { $0.count >= $1.count && compare($0, $1, $1.count) == 0 }
    }

    /// Whether the bytes end with those of `suffix`.
    func hasExactSuffix(_ suffix: String) -> Bool {
        withBytes(self, suffix) { bytes, suffix in
            guard bytes.count >= suffix.count else { return false }
            return compare(
                .init(rebasing: bytes[(bytes.count - suffix.count)...]), suffix, suffix.count) == 0
        }
    }

    /// Whether one of the characters is U+0000.
    var hasNUL: Bool {
        withBytes(self) { bytes in
            bytes.baseAddress.map { memchr($0, 0, bytes.count) != nil } ?? false
        }
    }
}

private typealias Bytes = UnsafeBufferPointer<UInt8>

@inline(__always)
private func withBytes<T>(_ string: String, _ body: (Bytes) -> T) -> T {
    if let result = string.utf8.withContiguousStorageIfAvailable(body) { return result }
    var native = string
    return native.withUTF8(body)
}

@inline(__always)
private func withBytes<T>(_ left: String, _ right: String, _ body: (Bytes, Bytes) -> T) -> T {
    withBytes(left) { left in withBytes(right) { right in body(left, right) } }
}

@inline(__always)
private func compare(_ left: Bytes, _ right: Bytes, _ count: Int) -> Int32 {
    guard count > 0, let left = left.baseAddress, let right = right.baseAddress else { return 0 }
    return memcmp(left, right, count)
}
