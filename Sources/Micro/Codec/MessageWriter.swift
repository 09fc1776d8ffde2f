/// A message that is being written: bytes, added at the end.
///
/// Who gets one as `inout` adds to it, and leaves what is there. Its memory is used again for the
/// next message, so that a message costs no allocation.
public struct MessageWriter: ~Copyable {
    /// What was written so far. A message may be put here whole, without a copy.
    public var bytes: [UInt8]
    /// Whether `bytes` is an array that somebody else may have, too.
    @usableFromInline var isShared = false

    /// Makes an empty one.
    ///
    /// - Parameter capacity: For how many bytes there is to be room at first. Default 0.
    public init(capacity: Int = 0) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    /// How many bytes were written so far.
    @inlinable public var count: Int { bytes.count }

    /// Makes room for so many bytes more.
    @inlinable
    public mutating func reserve(_ count: Int) { bytes.reserveCapacity(bytes.count + count) }

    /// Adds one byte.
    @inlinable
    public mutating func append(_ byte: UInt8) {
        bytes.append(byte)
        isShared = false
    }

    /// Adds bytes.
    @inlinable
    public mutating func append(_ span: RawSpan) {
        span.withUnsafeBytes { bytes.append(contentsOf: $0) }
        isShared = false
    }

    /// Adds bytes. Where they are all of the message, they are not copied.
    @inlinable
    public mutating func append(_ added: [UInt8]) {
        isShared = bytes.isEmpty
        if isShared { bytes = added } else { bytes.append(contentsOf: added) }
    }

    /// Adds a text as UTF-8.
    @inlinable
    public mutating func append(_ text: String) {
        bytes.append(contentsOf: text.utf8)
        isShared = false
    }

    /// Makes it empty, and keeps its memory unless that is more than `kept` bytes.
    mutating func reset(keeping kept: Int) {
        // An array that others have would be made anew, with as much room.
        if isShared || bytes.capacity > kept {
            bytes = []
        } else {
            bytes.removeAll(keepingCapacity: true)
        }
        isShared = false
    }
}
