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

/// Texts as slices of the core's, for the time of a call.
func withSlices<T>(_ texts: [String], _ body: ([mcore_slice]) -> T) -> T {
    let bytes = texts.flatMap { Array($0.utf8) }
    return bytes.withUnsafeBytes { arena in
        var at = 0
        let slices = texts.map { text in
            defer { at += text.utf8.count }
            return mcore_slice(UnsafeRawBufferPointer(rebasing: arena[at..<at + text.utf8.count]))
        }
        return body(slices)
    }
}
