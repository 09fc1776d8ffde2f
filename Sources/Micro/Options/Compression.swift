/// Whether messages are compressed on their way, and with which coding, when the other side takes
/// that.
///
/// A service answers each caller in the coding that it likes best; of several that it likes as much
/// in the one given here. A client can't know beforehand: a node without the coding refuses the
/// call with `unimplemented`, and says which it has. All that this process knows is read, and
/// offered, in either case.
public struct Compression: Sendable, Hashable {
    /// The smallest message that is compressed, in bytes; nil: none is.
    private let bytesMin: Int?
    /// Of a message that is.
    let flagsOfAny: MessageFlags

    private init(bytesMin: Int?, flags: MessageFlags) {
        self.bytesMin = bytesMin
        flagsOfAny = flags
    }

    /// Messages go as they are.
    public static let off = Compression(bytesMin: nil, flags: .plain)

    /// Messages of at least so many bytes are compressed; smaller ones gain nothing.
    public static func gzip(from bytes: Int = 1024) -> Compression {
        Compression(bytesMin: max(0, bytes), flags: gzip)
    }

    /// The same in the format of zlib: 12 bytes less for each message.
    public static func deflate(from bytes: Int = 1024) -> Compression {
        Compression(bytesMin: max(0, bytes), flags: deflate)
    }

    /// A coding by the name that it has in `content-encoding` and `grpc-encoding`, for those that a
    /// program brings itself (`mcore/coding.h`). nil when there is none of that name.
    public static func coding(_ name: String, from bytes: Int = 1024) -> Compression? {
        MessageFlags(coding: name).map { Compression(bytesMin: max(0, bytes), flags: $0) }
    }

    private static let gzip = MessageFlags(coding: "gzip") ?? .plain
    private static let deflate = MessageFlags(coding: "deflate") ?? .plain

    @usableFromInline
    func flags(for message: [UInt8]) -> MessageFlags {
        guard let bytesMin, message.count >= bytesMin else { return .plain }
        return flagsOfAny
    }
}
