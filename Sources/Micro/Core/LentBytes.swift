internal import CMicroCore

/// Bytes of the core's: whoever has them sees to it that they are read only as long as they are
/// lent.
@usableFromInline
struct LentBytes: @unchecked Sendable {  // see above
    @usableFromInline let buffer: UnsafeRawBufferPointer

    init(_ slice: mcore_slice) {
        buffer = UnsafeRawBufferPointer(
            start: slice.data, count: slice.data == nil ? 0 : slice.len)
    }

    init(_ buffer: UnsafeRawBufferPointer) { self.buffer = buffer }

    /// None.
    init() { buffer = UnsafeRawBufferPointer(start: nil, count: 0) }

    @inlinable
    func withSpan<T>(_ body: (RawSpan) throws -> T) rethrows -> T {
        try body(buffer.bytes)
    }
}
