#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// Whether a file is still the one that it was: it changes when the file is written, or another
/// takes its place, also behind symbolic links. Blocks: inside ``Environment/offload(_:)``.
struct FileStamp: Sendable, Hashable {
    private let device: UInt64
    private let inode: UInt64
    private let bytes: Int64
    private let written: [UInt8]  // a point in time, as the system has it

    /// nil: there is no such file, or it may not be looked at.
    init?(_ path: String) {
        var facts = stat()
        guard stat(path, &facts) == 0 else { return nil }
        device = UInt64(truncatingIfNeeded: facts.st_dev)
        inode = UInt64(truncatingIfNeeded: facts.st_ino)
        bytes = Int64(truncatingIfNeeded: facts.st_size)
        #if canImport(Darwin)
            written = withUnsafeBytes(of: facts.st_mtimespec) { Array($0) }
        #else
            written = withUnsafeBytes(of: facts.st_mtim) { Array($0) }
        #endif
    }
}
