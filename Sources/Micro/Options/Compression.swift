/// Whether messages are compressed on their way, with gzip, when the other side takes that.
public struct Compression: Sendable, Hashable {
    /// The smallest message that is compressed, in bytes; nil: none is.
    let bytesMin: Int?

    /// Messages go as they are.
    public static let off = Compression(bytesMin: nil)

    /// Messages of at least so many bytes are compressed; smaller ones gain nothing.
    public static func gzip(from bytes: Int = 1024) -> Compression {
        Compression(bytesMin: max(0, bytes))
    }

    @usableFromInline
    func covers(_ message: [UInt8]) -> Bool { bytesMin.map { message.count >= $0 } ?? false }
}
