internal import CZstdCoding
public import Micro

/// The content coding zstd (RFC 8878), for a process that wants it.
public enum Zstd {
    /// Lets every server and client of this process read zstd, and say so to others. Before they
    /// are used; ``Micro/Compression/zstd(from:)`` does it, too.
    public static func register() {
        precondition(status >= 0, "no more codings can be registered")
    }

    private static let status = zstd_coding_register()
}

extension Compression {
    /// Like ``gzip(from:)``, with zstd: large messages become smaller, two to three times as fast.
    public static func zstd(from bytes: Int = 1024) -> Compression {
        Zstd.register()
        guard let compression = Compression.coding("zstd", from: bytes) else {
            preconditionFailure("zstd was registered")
        }
        return compression
    }
}
